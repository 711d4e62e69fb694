package server

import (
	"bytes"
	"io"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// words answers the four-letter words of a server.
type words struct {
	s       *Server
	allowed []string
}

// answer implements front.Config.Word.
func (w *words) answer(word string) ([]byte, bool) {
	if !slices.Contains(fourletter.Words(), word) {
		return nil, false
	}
	if !slices.Contains(w.allowed, word) && !slices.Contains(w.allowed, "*") {
		return []byte(fourletter.NotWhitelistedAnswer(word)), true
	}
	if !w.s.pipeline.Serving() && !fourletter.AnswersWithoutQuorum(word) && word != fourletter.Isro {
		return []byte(fourletter.NotServingAnswer), true
	}
	if text, ok := w.fixed(word); ok {
		return []byte(text), true
	}
	var b bytes.Buffer
	if err := w.print(word, &b); err != nil {
		w.s.log.Warn("four-letter word not answered", "word", word, "err", err)
	}
	return b.Bytes(), true
}

// fixed answers the words whose answer has no content.
func (w *words) fixed(word string) (string, bool) {
	switch word {
	case fourletter.Ruok:
		return fourletter.Imok, true
	case fourletter.Isro:
		if w.s.pipeline.Serving() {
			return fourletter.ReadWrite, true
		}
		return fourletter.ReadUnknown, true
	case fourletter.Srst:
		w.s.pipeline.Stats().Reset()
		return fourletter.StatsReset, true
	case fourletter.Crst:
		w.s.pipeline.ResetConnectionStats()
		return fourletter.ConnectionsReset, true
	case fourletter.Gtmk, fourletter.Stmk:
		return fourletter.DefaultTraceMask, true
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
	}
	return nil
}

// mode is the server's role as srvr names it.
func (w *words) mode() string {
	if w.s.peer == nil {
		return fourletter.ModeStandalone
	}
	switch w.s.peer.Status().Role {
	case zab.Leading:
		return fourletter.ModeLeader
	case zab.Observing:
		return fourletter.ModeObserver
	}
	return fourletter.ModeFollower
}

// state is what srvr and mntr tell of the tree, read at one moment.
type state struct {
	zxid                                 int64
	znodes, ephemerals, dataSize, global int64
}

func (w *words) state() (s state) {
	w.s.pipeline.View(func(t *tree.Tree) {
		s = state{
			zxid: t.LastZxid(), znodes: int64(t.NodeCount()), ephemerals: int64(t.EphemeralCount()),
			dataSize: t.DataSize(), global: int64(t.SessionCount()),
		}
	})
	if w.s.peer == nil {
		return s
	}
	// A server that serves in an epoch is in it even before the epoch's first
	// transaction, and says so (Leader.java, startZkServer).
	if st := w.s.peer.Status(); w.s.pipeline.Serving() {
		s.zxid = max(s.zxid, int64(zab.MakeZxid(st.Epochs.Current, 0)))
	}
	return s
}

func (w *words) srvr() fourletter.SrvrAnswer {
	st, stats := w.state(), w.s.pipeline.Stats()
	latency := stats.Latency()
	a := fourletter.SrvrAnswer{
		Version: w.s.opts.Version, Mode: w.mode(), Zxid: fourletter.Zxid(st.zxid), NodeCount: st.znodes,
		Latency:  fourletter.Latency{Min: latency.Min(), Avg: latency.Avg(), Max: latency.Max()},
		Received: stats.Received.Load(), Sent: stats.Sent.Load(), Outstanding: stats.Outstanding(),
		Connections: int64(w.s.pipeline.ConnectionCount()),
	}
	if p := w.s.peer; p != nil && a.Mode == fourletter.ModeLeader {
		st := p.Status()
		a.Proposals = &fourletter.ProposalSizes{Last: int64(st.LastProposal), Min: int64(st.MinProposal), Max: int64(st.MaxProposal)}
	}
	return a
}

// mntr lists the keys that ZooKeeper 3.4 to 3.6 told and those of later
// releases that stand for something in this server.
func (w *words) mntr() fourletter.MntrAnswer {
	st, p := w.state(), w.s.pipeline
	stats := p.Stats()
	latency := stats.Latency()
	var a fourletter.MntrAnswer
	a.AddText("version", w.s.opts.Version)
	a.AddText("server_state", w.mode())
	if w.s.peer != nil {
		a.AddText("peer_state", peerState(w.s.peer.Status().Status))
	}
	a.AddFloat("avg_latency", math.Round(latency.Avg()*1e4)/1e4)
	a.AddInt("max_latency", latency.Max())
	a.AddInt("min_latency", latency.Min())
	a.AddInt("packets_received", stats.Received.Load())
	a.AddInt("packets_sent", stats.Sent.Load())
	a.AddInt("num_alive_connections", int64(p.ConnectionCount()))
	a.AddInt("outstanding_requests", stats.Outstanding())
	a.AddInt("znode_count", st.znodes)
	a.AddInt("watch_count", int64(p.WatchCounts().Watches))
	a.AddInt("ephemerals_count", st.ephemerals)
	a.AddInt("approximate_data_size", st.dataSize)
	a.AddInt("global_sessions", st.global)
	a.AddInt("stale_sessions_expired", stats.SessionsExpired.Load())
	a.AddInt("auth_failed_count", stats.AuthFailed.Load())
	a.AddInt("digest_mismatches_count", stats.DigestMismatches.Load())
	a.AddInt("snapshot_error_count", stats.SnapshotErrors.Load())
	a.AddInt("uptime", time.Since(w.s.start).Milliseconds())
	if open, limit, ok := fileDescriptors(); ok {
		a.AddInt("open_file_descriptor_count", open)
		a.AddInt("max_file_descriptor_count", limit)
	}
	addSummary(&a, "readlatency", &stats.ReadLatency)
	addSummary(&a, "updatelatency", &stats.WriteLatency)
	addSummary(&a, "snapshottime", &stats.SnapshotTime)
	w.addQuorum(&a)
	return a
}

// summary is what [pipeline.Summary] tells.
type summary interface {
	Min() int64
	Max() int64
	Count() int64
	Sum() int64
	Avg() float64
}

func addSummary(a *fourletter.MntrAnswer, name string, s summary) {
	a.AddFloat("avg_"+name, math.Round(s.Avg()*1e4)/1e4)
	a.AddInt("min_"+name, s.Min())
	a.AddInt("max_"+name, s.Max())
	a.AddInt("cnt_"+name, s.Count())
	a.AddInt("sum_"+name, s.Sum())
}

func (w *words) addQuorum(a *fourletter.MntrAnswer) {
	if w.s.peer == nil {
		return
	}
	st := w.s.peer.Status()
	a.AddInt("quorum_size", int64(len(w.s.cfg.Servers)))
	if st.Role != zab.Leading {
		return
	}
	a.AddInt("learners", int64(st.Followers+st.Observers))
	a.AddInt("synced_followers", int64(st.SyncedFollowers))
	a.AddInt("synced_observers", int64(st.SyncedObservers))
	a.AddInt("pending_syncs", int64(st.PendingSyncs))
	a.AddInt("last_proposal_size", int64(st.LastProposal))
	a.AddInt("max_proposal_size", int64(st.MaxProposal))
	a.AddInt("min_proposal_size", int64(st.MinProposal))
}

// peerState is Apache's text for role, phase and way of synchronisation.
func peerState(s zab.Status) string {
	text := s.Role.String() + " - " + s.Phase.String()
	if s.Sync != zab.SyncNone {
		text += " - " + s.Sync.String()
	}
	return text
}

func fileDescriptors() (open, limit int64, ok bool) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, 0, false
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, 0, false
	}
	return int64(len(entries)), int64(min(l.Cur, math.MaxInt64)), true
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
	addInt("clientPort", int64(c.ClientPort))
	addInt("secureClientPort", -1)
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
	for _, m := range c.Servers {
		if m.ID == c.MyID {
			addInt("electionPort", int64(m.Addresses[0].ElectionPort))
			addInt("quorumPort", int64(m.Addresses[0].QuorumPort))
			peerType := int64(0)
			if member(m).Observer {
				peerType = 1
			}
			addInt("peerType", peerType)
		}
	}
	a.Membership = c.QuorumText()
	return a
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// envi has Java's keys where they mean something here, and Go's in place of
// Java's own.
func (w *words) envi() fourletter.EnviAnswer {
	var a fourletter.EnviAnswer
	add := func(key, value string) { a.Pairs = append(a.Pairs, fourletter.Pair{Key: key, Value: value}) }
	add("zookeeper.version", w.s.opts.Version)
	host, _ := os.Hostname() // an unknown name is told as an empty one
	add("host.name", host)
	add("go.version", runtime.Version())
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
