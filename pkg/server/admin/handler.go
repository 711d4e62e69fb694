package admin

import (
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what an AdminServer offers.
type Config struct {
	// URL is the path under which commands stand, such as /commands.
	URL string
	// Commands are what can be asked for.
	Commands []Command
	// Serving tells whether clients are served.
	Serving func() bool
	// Authorize tells whether whoever sent a request has all rights on the root
	// znode: nil, or an error that wraps [ErrNotAuthenticated] or
	// [ErrNotAuthorized].
	Authorize func(*http.Request, Credentials) error
	// Metrics answers /metrics; nil for nothing.
	Metrics http.Handler
	// Logger takes what an operator should know.
	Logger *slog.Logger
}

// notServing is Apache's text.
const notServing = "This ZooKeeper instance is not currently serving requests"

// Handler answers requests as the configuration says.
func Handler(cfg Config) http.Handler {
	h := &handler{cfg: cfg, byName: make(map[string]*Command)}
	for i := range cfg.Commands {
		c := &cfg.Commands[i]
		for _, name := range append([]string{c.Name}, c.Aliases...) {
			h.byName[name] = c
		}
	}
	return h
}

type handler struct {
	cfg    Config
	byName map[string]*Command
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, below := strings.CutPrefix(r.URL.Path, strings.TrimSuffix(h.cfg.URL, "/"))
	switch {
	case r.Method == http.MethodTrace: // JettyAdminServer.java, constrainTraceMethod
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/metrics" && h.cfg.Metrics != nil:
		h.cfg.Metrics.ServeHTTP(w, r)
	case !below || rest != "" && rest[0] != '/':
		http.NotFound(w, r)
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case strings.Trim(rest, "/") == "":
		h.list(w)
	default:
		h.command(w, r, strings.Trim(rest, "/"))
	}
}

// list links to all commands.
func (h *handler) list(w http.ResponseWriter) {
	names := make([]string, 0, len(h.cfg.Commands))
	for _, c := range h.cfg.Commands {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	for _, name := range names {
		link := html.EscapeString(strings.TrimSuffix(h.cfg.URL, "/") + "/" + name)
		fmt.Fprintf(w, "<a href=\"%s\">%s</a>\n<br/>\n", link, name)
	}
}

func (h *handler) command(w http.ResponseWriter, r *http.Request, name string) {
	c := h.byName[name]
	if c == nil {
		h.write(w, r, name, Response{Error: "Unknown command: " + name})
		return
	}
	response := h.refuse(c, r)
	if response == nil {
		control := http.NewResponseController(w)
		answer := c.Run(Request{Context: r.Context(), Query: r.URL.Query(), Body: r.Body, OwnTime: func() {
			_ = control.SetReadDeadline(time.Time{}) // a connection that cannot keeps its bounds
			_ = control.SetWriteDeadline(time.Time{})
		}})
		response = &answer
	}
	h.write(w, r, c.Name, *response)
}

// refuse says why a command is not run; nil when it may be.
func (h *handler) refuse(c *Command, r *http.Request) *Response {
	if c.Restricted {
		if refused := h.authorize(r); refused != nil {
			return refused
		}
	}
	switch {
	case c.Post && r.Method != http.MethodPost:
		return &Response{Status: http.StatusMethodNotAllowed, Error: "this command has to be POSTed"}
	case !c.Post && r.Method == http.MethodPost:
		return &Response{Status: http.StatusMethodNotAllowed, Error: "this command cannot be POSTed"}
	case c.NeedsServer && !h.cfg.Serving():
		return &Response{Error: notServing}
	}
	return nil
}

func (h *handler) authorize(r *http.Request) *Response {
	cred, ok := credentials(r)
	if !ok {
		return &Response{Status: http.StatusUnauthorized, Error: "Auth info is missing for the command"}
	}
	err := h.cfg.Authorize(r, cred)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotAuthorized):
		h.cfg.Logger.Warn("an admin command was refused", "from", r.RemoteAddr, "command", r.URL.Path, "err", err)
		return &Response{Status: http.StatusForbidden, Error: ErrNotAuthorized.Error()}
	}
	h.cfg.Logger.Warn("an admin command was refused", "from", r.RemoteAddr, "command", r.URL.Path, "err", err)
	return &Response{Status: http.StatusUnauthorized, Error: ErrNotAuthenticated.Error()}
}

// write sends a response. Errors of data stand before the command, as Apache
// has it for commands that fail by themselves.
func (h *handler) write(w http.ResponseWriter, r *http.Request, name string, response Response) {
	for key, value := range response.Header {
		w.Header()[key] = []string{value} // as written: Apache's are in lower case
	}
	status := max(response.Status, http.StatusOK)
	if response.Stream != nil {
		defer response.Stream.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(response.Size, 10))
		w.WriteHeader(status)
		if _, err := io.Copy(w, response.Stream); err != nil {
			h.cfg.Logger.Warn("an answer was not sent to its end", "to", r.RemoteAddr, "command", name, "err", err)
		}
		return
	}
	out := response.Data
	failed := slices.ContainsFunc(out, func(m Member) bool { return m.Name == "error" })
	out.Add("command", name)
	if !failed {
		out.Add("error", nil)
		if response.Error != "" {
			out[len(out)-1].Value = response.Error
		}
	}
	text := out.String()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // who does not wait for it does not want it
}
