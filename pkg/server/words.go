package server

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// words answers the four-letter words of a server.
type words struct {
	s         *Server
	allowed   []string
	traceMask atomic.Int64 // stmk sets it, gtmk tells it; nothing else looks at it
}

// defaultTraceMask is Apache's (ZooTrace.java).
const defaultTraceMask = 0o462

// known implements front.Config.IsWord.
func (w *words) known(word string) bool { return slices.Contains(fourletter.Words(), word) }

// answer implements front.Config.Word.
func (w *words) answer(word string, more io.Reader) []byte {
	stats := w.s.pipeline.Stats()
	stats.Received.Add(1)
	defer stats.Sent.Add(1)
	if !slices.Contains(w.allowed, word) && !slices.Contains(w.allowed, "*") {
		return []byte(fourletter.NotWhitelistedAnswer(word))
	}
	if !w.s.pipeline.Serving() && !fourletter.AnswersWithoutQuorum(word) {
		return []byte(w.notServing(word))
	}
	if word == fourletter.Stmk {
		return w.setTraceMask(more)
	}
	if text, ok := w.fixed(word); ok {
		return []byte(text)
	}
	var b bytes.Buffer
	if err := w.print(word, &b); err != nil {
		w.s.log.Warn("four-letter word not answered", "word", word, "err", err)
	}
	return b.Bytes()
}

func (w *words) notServing(word string) string {
	if word == fourletter.Hash { // without a newline (DigestCommand.java)
		return strings.TrimSuffix(fourletter.NotServingAnswer, "\n")
	}
	return fourletter.NotServingAnswer
}

// setTraceMask reads the eight bytes behind stmk (SetTraceMaskCommand.java).
func (w *words) setTraceMask(more io.Reader) []byte {
	var mask [8]byte
	if _, err := io.ReadFull(more, mask[:]); err != nil {
		return nil
	}
	w.traceMask.Store(int64(binary.BigEndian.Uint64(mask[:])))
	return strconv.AppendInt(nil, w.traceMask.Load(), 10)
}

// fixed answers the words whose answer has no content.
func (w *words) fixed(word string) (string, bool) {
	switch word {
	case fourletter.Ruok:
		return fourletter.Imok, true
	case fourletter.Isro:
		switch {
		case w.s.pipeline.ReadOnly():
			return fourletter.ReadOnly, true
		case w.s.pipeline.Serving():
			return fourletter.ReadWrite, true
		}
		return fourletter.ReadUnknown, true
	case fourletter.Srst:
		w.s.pipeline.ResetStats()
		return fourletter.StatsReset, true
	case fourletter.Crst:
		w.s.pipeline.ResetConnectionStats()
		return fourletter.ConnectionsReset, true
	case fourletter.Gtmk:
		return strconv.FormatInt(w.traceMask.Load(), 10), true
	}
	return "", false
}

func (w *words) print(word string, out io.Writer) error {
	switch word {
	case fourletter.Srvr:
		return w.srvr().Write(out)
	case fourletter.Stat:
		return fourletter.StatAnswer{SrvrAnswer: w.srvr(), Clients: w.connections(false)}.Write(out)
	case fourletter.Cons:
		return fourletter.ConsAnswer{Connections: w.connections(true)}.Write(out)
	case fourletter.Mntr:
		return w.mntr().Write(out)
	case fourletter.Conf:
		return w.conf().Write(out)
	case fourletter.Envi:
		return w.envi().Write(out)
	case fourletter.Dirs:
		data, log, err := w.s.store.DirSizes()
		if err != nil {
			return err
		}
		return fourletter.DirsAnswer{Data: data, Log: log}.Write(out)
	case fourletter.Wchs:
		c := w.s.pipeline.WatchCounts()
		return fourletter.WchsAnswer{Connections: int64(c.Watchers), Paths: int64(c.Paths), Total: int64(c.Watches)}.Write(out)
	case fourletter.Wchc:
		return fourletter.WchcAnswer{Sessions: w.watchesBySession()}.Write(out)
	case fourletter.Wchp:
		return fourletter.WchpAnswer{Paths: w.watchesByPath()}.Write(out)
	case fourletter.Dump:
		return w.dump().Write(out)
	case fourletter.Hash:
		return w.hash().Write(out)
	}
	return nil
}

// mode is the server's role as srvr names it.
func (w *words) mode() string {
	if w.s.peer == nil {
		return fourletter.ModeStandalone
	}
	if w.s.pipeline.ReadOnly() {
		return fourletter.ModeReadOnly
	}
	switch w.s.peer.Status().Role {
	case zab.Leading:
		return fourletter.ModeLeader
	case zab.Observing:
		return fourletter.ModeObserver
	}
	return fourletter.ModeFollower
}

func (w *words) srvr() fourletter.SrvrAnswer {
	st, stats, latency := w.state(), w.s.pipeline.Stats(), w.s.pipeline.Latency()
	a := fourletter.SrvrAnswer{
		Version: w.s.opts.Version, Mode: w.mode(), Zxid: fourletter.Zxid(st.zxid), NodeCount: st.znodes,
		Latency:  fourletter.Latency{Min: latency.Min, Avg: latency.Avg, Max: latency.Max},
		Received: stats.Received.Load(), Sent: stats.Sent.Load(), Outstanding: stats.Outstanding(),
		Connections: int64(w.s.connectionCount()), ReadOnly: w.s.pipeline.ReadOnly(),
	}
	if p := w.s.peer; p != nil && a.Mode == fourletter.ModeLeader {
		st := p.Status()
		a.Proposals = &fourletter.ProposalSizes{Last: int64(st.LastProposal), Min: int64(st.MinProposal), Max: int64(st.MaxProposal)}
	}
	return a
}

// mntr lists who the server is, and then all metrics.
func (w *words) mntr() fourletter.MntrAnswer {
	var a fourletter.MntrAnswer
	a.AddText("version", w.s.opts.Version)
	a.AddText("server_state", w.mode())
	if w.s.peer != nil {
		a.AddText("peer_state", peerState(w.s.peer.Status().Status))
	}
	w.s.metrics.Each(metrics.Flat(func(name string, v float64, whole bool) {
		if whole {
			a.AddInt(name, int64(v))
		} else {
			a.AddFloat(name, v)
		}
	}))
	return a
}

// peerState is Apache's text for role, phase and, while that lasts, way of
// synchronisation.
func peerState(s zab.Status) string {
	text := s.Role.String() + " - " + s.Phase.String()
	if s.Phase == zab.Synchronization && s.Sync != zab.SyncNone {
		text += " - " + s.Sync.String()
	}
	return text
}

func (w *words) conf() fourletter.ConfAnswer {
	c := w.s.cfg
	dataSize, logSize, err := w.s.store.DirSizes()
	if err != nil {
		w.s.log.Warn("sizes of the data directories", "err", err)
	}
	var a fourletter.ConfAnswer
	add := func(key, value string) { a.Pairs = append(a.Pairs, fourletter.Pair{Key: key, Value: value}) }
	addInt := func(key string, n int64) { add(key, strconv.FormatInt(n, 10)) }
	addInt("clientPort", portOrNone(c.ClientPort))
	addInt("secureClientPort", portOrNone(c.SecureClientPort))
	add("dataDir", filepath.Join(absolute(c.DataDir), "version-2"))
	addInt("dataDirSize", dataSize)
	add("dataLogDir", filepath.Join(absolute(c.DataLogDir), "version-2"))
	addInt("dataLogSize", logSize)
	addInt("tickTime", c.TickTime.Milliseconds())
	addInt("maxClientCnxns", int64(c.MaxClientCnxns))
	addInt("minSessionTimeout", c.MinSessionTimeout.Milliseconds())
	addInt("maxSessionTimeout", c.MaxSessionTimeout.Milliseconds())
	addInt("clientPortListenBacklog", int64(c.ClientPortListenBacklog))
	if !c.Distributed() {
		addInt("serverId", 0)
		return a
	}
	addInt("serverId", c.MyID)
	addInt("initLimit", int64(c.InitLimit))
	addInt("syncLimit", int64(c.SyncLimit))
	addInt("electionAlg", 3)
	for _, m := range w.s.members().Servers {
		if m.ID == c.MyID {
			addInt("electionPort", int64(m.Addresses[0].ElectionPort))
			addInt("quorumPort", int64(m.Addresses[0].QuorumPort))
			peerType := int64(0)
			if m.Role == config.Observer {
				peerType = 1
			}
			addInt("peerType", peerType)
		}
	}
	a.Membership = w.s.members().Text()
	return a
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// absent is Java's word for a property that has no value.
const absent = "<NA>"

// envi has Java's keys in Java's order, since scripts look for them (Environment.java),
// with [absent] for those that mean nothing here, and Go's version behind them.
func (w *words) envi() fourletter.EnviAnswer {
	var a fourletter.EnviAnswer
	add := func(key, value string) { a.Pairs = append(a.Pairs, fourletter.Pair{Key: key, Value: value}) }
	add("zookeeper.version", w.s.opts.Version)
	host, _ := os.Hostname() // an unknown name is told as an empty one
	add("host.name", host)
	for _, of := range []string{"version", "vendor", "home", "class.path", "library.path", "io.tmpdir", "compiler"} {
		add("java."+of, absent)
	}
	add("os.name", strings.ToUpper(runtime.GOOS[:1])+runtime.GOOS[1:])
	add("os.arch", runtime.GOARCH)
	add("os.version", kernelRelease())
	if u, err := user.Current(); err == nil {
		add("user.name", u.Username)
		add("user.home", u.HomeDir)
	}
	dir, _ := os.Getwd() // likewise
	add("user.dir", dir)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	const mb = 1 << 20
	add("os.memory.free", strconv.FormatUint((m.Sys-m.HeapInuse)/mb, 10)+"MB")
	add("os.memory.max", strconv.FormatInt(debug.SetMemoryLimit(-1)/mb, 10)+"MB")
	add("os.memory.total", strconv.FormatUint(m.Sys/mb, 10)+"MB")
	add("go.version", runtime.Version())
	return a
}

func kernelRelease() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return ""
	}
	var b []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}
