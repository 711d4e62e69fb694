package inventory

import (
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"time"
)

// Server is one entry of an inventory with everything filled in: overrides applied, defaults set, paths absolute.
type Server struct {
	Ensemble      string // the ensemble's name
	Name          string // unique in the inventory
	Address       string // where the other servers reach it
	ClientAddress string // where clients reach it
	ID            int    // 1 to 255
	Role          Role
	Connection    Connection
	SSH           Login   // of no meaning when Connection is local
	Paths         Paths   // absolute; BaseDir is empty when none was set
	Ports         Ports   // SecureClient also when config set it
	TLS           TLS     // how to ask it; files absolute
	Service       Service // AtBoot and Profile are not nil
	Config        Config  // zoo.cfg settings besides those that the other fields give
	Purge         Purge   // Enabled is not nil
}

// Login is how to log in to a server's host. Zero User, Port and IdentityFiles leave the choice to
// ~/.ssh/config and ssh's own defaults.
type Login struct {
	Address        string // where to connect
	User           string
	Port           int
	IdentityFiles  []string // absolute
	Bastions       []Bastion
	KnownHosts     []string // absolute; empty leaves the choice to ssh's defaults
	Sudo           *bool    // nil: sudo unless the login is root
	ConnectTimeout time.Duration
}

// Machine identifies the host a server runs on, for telling which servers share one.
func (s Server) Machine() string {
	if s.Connection == ConnectLocal {
		return "this machine"
	}
	return strings.ToLower(strings.TrimSuffix(s.SSH.Address, "."))
}

// ConfigFile is the path of the server's zoo.cfg.
func (s Server) ConfigFile() string { return path.Join(s.Paths.ConfDir, "zoo.cfg") }

// Resolve flattens the inventory into one Server per host, in the order of the file. installed holds the ids found
// on hosts, by server name (nil when none are known): an id left out of the file is the one
// installed, else the smallest that is neither given nor installed anywhere. It fails with
// an [*Error] when file and hosts contradict each other.
func (inv *Inventory) Resolve(installed map[string]int) ([]Server, error) {
	r := &report{}
	servers := inv.resolve(installed, r)
	if err := r.err(nil); err != nil {
		return nil, err
	}
	return servers, nil
}

func (inv *Inventory) resolve(installed map[string]int, r *report) []Server {
	s := &resolver{inv: inv, r: r}
	var out []Server
	for i := range inv.Hosts {
		out = append(out, s.server(i))
	}
	s.names(out)
	s.ids(out, installed)
	s.shared(out)
	return out
}

// resolver fills in what the file leaves out.
type resolver struct {
	inv *Inventory
	r   *report
}

// at is where a setting of host i stands: under the host, else at the top, else the host itself.
func (s *resolver) at(i int, keys ...string) *node {
	var paths []string
	for _, prefix := range []string{hostPath(i), ""} {
		for _, key := range keys {
			paths = append(paths, join(prefix, key))
		}
	}
	return s.inv.places.at(append(paths, hostPath(i))...)
}

func (s *resolver) server(i int) Server {
	h := s.inv.Hosts[i]
	own, top := h.Settings, s.inv.Settings
	connection := firstOf(own.Connection, top.Connection, ConnectSSH)
	set := defaults(connection)
	for _, layer := range []Settings{top, own} {
		layer.Paths = layer.Paths.filled()
		config := set.Config.With(layer.Config)
		overlay(reflect.ValueOf(&set).Elem(), reflect.ValueOf(layer))
		set.Config = config
	}
	out := Server{
		Ensemble:      firstOf(s.inv.Name, "zookeeper"),
		Name:          firstOf(h.Name, h.Address),
		Address:       h.Address,
		ClientAddress: firstOf(h.ClientAddress, h.Address),
		ID:            h.ID,
		Role:          firstOf(h.Role, Participant),
		Connection:    connection,
		Ports:         set.Ports,
		Service:       set.Service,
		Config:        set.Config,
		Purge:         set.Purge,
	}
	out.SSH = s.login(i, h, set.SSH)
	out.Paths = s.paths(i, set.Paths, out)
	out.Service.Name = s.serviceName(i, out)
	if out.Service.Group == "" {
		out.Service.Group = out.Service.User
	}
	s.autopurge(i, out)
	s.secure(i, &out, set.TLS)
	return out
}

// defaults are the settings that hold where the file says nothing.
func defaults(c Connection) Settings {
	remote := c == ConnectSSH
	daemonUser, manager := "zookeeper", ManagerAuto
	if !remote {
		daemonUser, manager = "", ManagerBuiltin
	}
	return Settings{
		SSH: SSH{ConnectTimeout: Duration(10 * time.Second)},
		Paths: Paths{
			Binary: "/usr/local/bin/zkctl", ConfDir: "/etc/zkctl",
			DataDir: "/var/lib/zkctl/zkdata", DataLogDir: "/var/lib/zkctl/zkdatalog", LogDir: "/var/log/zkctl",
		},
		Ports: Ports{Client: 2181, Quorum: 2888, Election: 3888},
		Service: Service{
			User: daemonUser, Name: "zkctl-{name}", Manager: manager,
			AtBoot: &remote, Profile: &remote, MaxOpenFiles: 65536,
		},
		Config: Config{
			{"tickTime", "2000"}, {"initLimit", "10"}, {"syncLimit", "5"},
			// The words that zkctl status and zkctl 4lw need; none of them changes anything.
			{"4lw.commands.whitelist", "srvr, stat, mntr, ruok, conf, isro, envi, cons, dirs, wchs, dump"},
		},
		Purge: Purge{Enabled: &remote, Keep: 3, Schedule: "daily", RandomDelay: Duration(10 * time.Minute)},
	}
}

// filled puts what is not set below BaseDir, if there is one.
func (p Paths) filled() Paths {
	if p.BaseDir == "" {
		return p
	}
	base := strings.TrimSuffix(p.BaseDir, "/")
	p.Binary = firstOf(p.Binary, base+"/bin/zkctl")
	p.ConfDir = firstOf(p.ConfDir, base+"/conf")
	p.DataDir = firstOf(p.DataDir, base+"/zkdata")
	p.DataLogDir = firstOf(p.DataLogDir, base+"/zkdatalog")
	p.LogDir = firstOf(p.LogDir, base+"/log")
	return p
}

// overlay sets in dst every field that src sets, structs field by field.
func overlay(dst, src reflect.Value) {
	for i := range src.NumField() {
		switch f := src.Field(i); {
		case f.Kind() == reflect.Struct:
			overlay(dst.Field(i), f)
		case !f.IsZero():
			dst.Field(i).Set(f)
		}
	}
}

func (s *resolver) login(i int, h Host, ssh SSH) Login {
	bastions := append([]Bastion(nil), ssh.Bastions...)
	for b := range bastions {
		bastions[b].IdentityFiles = s.localFiles(s.at(i, "ssh.bastions"), bastions[b].IdentityFiles)
	}
	return Login{
		Address:        firstOf(h.SSH.Address, h.Address),
		User:           ssh.User,
		Port:           ssh.Port,
		IdentityFiles:  s.localFiles(s.at(i, "ssh.identityFiles"), ssh.IdentityFiles),
		Bastions:       bastions,
		KnownHosts:     s.localFiles(s.at(i, "ssh.knownHosts"), ssh.KnownHosts),
		Sudo:           ssh.Sudo,
		ConnectTimeout: time.Duration(ssh.ConnectTimeout),
	}
}

// localFiles makes paths on this machine absolute.
func (s *resolver) localFiles(at *node, paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, s.local(at, p))
	}
	return out
}

// local makes a path on this machine absolute: ~ is the home folder, a relative one starts from the inventory's folder.
func (s *resolver) local(at *node, p string) string {
	switch {
	case p == "~" || strings.HasPrefix(p, "~/"):
		if s.inv.home == "" {
			s.r.fault(at, "write the path in full", "the home folder for %q is not known", p)
			return p
		}
		return filepath.Join(s.inv.home, p[1:])
	case strings.HasPrefix(p, "~"):
		s.r.fault(at, "write the path in full", "%q: only ~/ is understood, not another user's home", p)
	case !filepath.IsAbs(p) && at != nil && at.src != nil:
		return filepath.Join(at.src.dir, p)
	}
	return filepath.Clean(p)
}

// paths makes the server's paths absolute and fills in {name} and {ensemble}.
func (s *resolver) paths(i int, p Paths, server Server) Paths {
	for _, f := range []struct {
		key  string
		path *string
	}{
		{"baseDir", &p.BaseDir}, {"binary", &p.Binary}, {"confDir", &p.ConfDir},
		{"dataDir", &p.DataDir}, {"dataLogDir", &p.DataLogDir}, {"logDir", &p.LogDir},
	} {
		if *f.path == "" {
			continue
		}
		at := s.at(i, "paths."+f.key, "paths.baseDir")
		*f.path = s.path(at, f.key, s.placeholders(at, *f.path, server), server)
	}
	return p
}

func (s *resolver) path(at *node, key, p string, server Server) string {
	if server.Connection == ConnectLocal {
		p = s.local(at, p)
	} else if strings.HasPrefix(p, "~") {
		s.r.fault(at, "write it from / on; ~ is only for connection: local", "%s on a host reached by SSH is absolute, not %q", key, p)
		return p
	} else if !strings.HasPrefix(p, "/") {
		s.r.fault(at, "write it from / on", "%s on a host reached by SSH is absolute, not %q", key, p)
		return p
	}
	p = path.Clean(p)
	switch {
	case p == "/":
		s.r.fault(at, "", "%s cannot be /", key)
	case key != "binary" && key != "baseDir" && isSystemDir(p):
		s.r.fault(at, "choose a folder of its own, such as "+path.Join(p, "zkctl"), "%s cannot be %s, which the system uses", key, p)
	}
	return p
}

// isSystemDir tells whether p is a folder that must not change its owner.
func isSystemDir(p string) bool {
	switch p {
	case "/etc", "/var", "/var/lib", "/var/log", "/usr", "/usr/local", "/usr/bin", "/bin", "/sbin", "/lib", "/tmp",
		"/var/tmp", "/home", "/root", "/opt", "/srv", "/run", "/dev", "/proc", "/sys", "/boot", "/mnt":
		return true
	}
	return false
}

// placeholders fills in {name} and {ensemble}.
func (s *resolver) placeholders(at *node, text string, server Server) string {
	out := strings.NewReplacer("{name}", server.Name, "{ensemble}", server.Ensemble).Replace(text)
	if open := strings.IndexByte(out, '{'); open >= 0 {
		word, _, closed := strings.Cut(out[open:], "}")
		if closed {
			word += "}"
		}
		s.r.fault(at, didYouMean(strings.Trim(word, "{}"), []string{"{name}", "{ensemble}"}), "%s is not {name} or {ensemble}", word)
	}
	return out
}

// serviceName fills in the name of the unit, which becomes a file name. A host called after its address, such
// as fd00::1, may bring letters that have no place there; they become '-'.
func (s *resolver) serviceName(i int, server Server) string {
	at := s.at(i, "service.name")
	server.Name = strings.Map(func(c rune) rune {
		if c < 0x80 && isAlnum(byte(c)) || strings.ContainsRune("._-", c) {
			return c
		}
		return '-'
	}, server.Name)
	name := strings.TrimSuffix(s.placeholders(at, server.Service.Name, server), ".service")
	for _, c := range name {
		if c >= 0x80 || !isAlnum(byte(c)) && !strings.ContainsRune("._-", c) {
			s.r.fault(at, "", "service.name %q: only letters, digits, '.', '_' and '-'", name)
			break
		}
	}
	return name
}

// autopurge refuses the server's own purge beside ours.
func (s *resolver) autopurge(i int, server Server) {
	if !*server.Purge.Enabled {
		return
	}
	for _, k := range []struct{ key, instead string }{
		{"autopurge.snapRetainCount", "purge.keep"}, {"autopurge.purgeInterval", "purge.schedule"},
	} {
		if _, set := server.Config.Get(k.key); set {
			s.r.fault(s.at(i, "config."+k.key), "set "+k.instead+", or purge.enabled: false", "zkctl schedules the purge itself; %s would purge twice", k.key)
		}
	}
}

// firstOf returns the first value that is not zero.
func firstOf[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// valueOf makes what p points to settable.
func valueOf(p any) reflect.Value { return reflect.ValueOf(p).Elem() }
