package install

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// directories asks that data folders are empty or this server's, and that all may be written.
func (i *inspector) directories(ctx context.Context) error {
	for _, v := range i.m.servers {
		before := len(i.out)
		for _, d := range dataDirs(v) {
			if err := i.dataDir(ctx, v, d); err != nil {
				return err
			}
		}
		if err := i.confDir(ctx, v); err != nil {
			return err
		}
		if err := i.writable(ctx, v); err != nil {
			return err
		}
		if len(i.out) == before {
			i.pass(v.Name, "%s: writable, and empty or this server's", strings.Join(dataDirs(v), ", "))
		}
	}
	return nil
}

// dataDir tells what is in a data folder that is not this server's.
func (i *inspector) dataDir(ctx context.Context, v inventory.Server, dir string) error {
	info, err := statMaybe(ctx, i.m.host, dir)
	if err != nil || info == nil {
		return err
	}
	if !info.Mode.IsDir() && info.Target == "" {
		i.find(v.Name, Fail, "move it away, or choose another folder under paths", "%s is a file", dir)
		return nil
	}
	mark, err := readMaybe(ctx, i.m.host, markFile(dir))
	if err != nil || string(mark) == string(markOf(v)) {
		return err
	}
	entries, err := i.m.host.ReadDir(ctx, dir)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Name != "lost+found" && !strings.HasSuffix(e.Name, ".lock") {
			names = append(names, e.Name)
		}
	}
	switch {
	case mark != nil:
		i.find(v.Name, Fail, "choose other folders under paths, or remove those data with zkctl uninstall --delete-data from the inventory they came with",
			"%s holds the data of another server: %s", dir, strings.Join(splitLines(string(mark))[1:], ", "))
	case len(names) == 0:
	case !slices.Contains(names, "version-2") && !slices.Contains(names, "myid"):
		i.find(v.Name, Fail, "move them away, or choose an empty folder under paths", "%s is not empty: %s", dir, shortList(names))
	default:
		return i.foreignData(ctx, v, dir, names)
	}
	return nil
}

// foreignData is about data that another ZooKeeper left.
func (i *inspector) foreignData(ctx context.Context, v inventory.Server, dir string, names []string) error {
	about := ""
	id, err := readMaybe(ctx, i.m.host, path.Join(dir, "myid"))
	if err != nil {
		return err
	}
	if id != nil {
		about = fmt.Sprintf(" of the server with id %s", strings.TrimSpace(string(id)))
	}
	if i.s.opts.TakeOver {
		i.find(v.Name, Warn, "", "%s holds ZooKeeper data%s (%s), which will be kept and served", dir, about, shortList(names))
		return nil
	}
	i.find(v.Name, Fail, "add --take-over to keep and serve them (stop the other server first), or move them away",
		"%s holds ZooKeeper data%s that zkctl did not install: %s", dir, about, shortList(names))
	return nil
}

func shortList(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// confDir refuses a zoo.cfg that somebody else wrote.
func (i *inspector) confDir(ctx context.Context, v inventory.Server) error {
	text, err := readMaybe(ctx, i.m.host, v.ConfigFile())
	if err != nil || text == nil || writtenByUs(text) {
		return err
	}
	if i.s.opts.TakeOver {
		i.find(v.Name, Warn, "", "%s, which zkctl did not write, will be replaced", v.ConfigFile())
		return nil
	}
	i.find(v.Name, Fail, "move it away, set another paths.confDir, or add --take-over to replace it", "%s is there, and zkctl did not write it", v.ConfigFile())
	return nil
}

// folders looks, for each of its arguments, at the nearest folder at or above it that is there: may it be written, and
// how much space and how many inodes are free on its file system.
const folders = `for f; do
  d=$f; while [ ! -e "$d" ] && [ "$d" != / ]; do d=$(dirname "$d"); done
  w=no; [ -d "$d" ] && [ -w "$d" ] && w=yes
  printf '%s\t%s\t%s\t%s\t%s\n' "$f" "$d" $w "$(df -Pk "$d" | tail -n 1)" "$(df -Pi "$d" 2>/dev/null | tail -n 1)"
done`

// folder is a line of what folders prints.
type folder struct {
	path, nearest string
	writable      bool
	space, inodes []string // the fields of df
}

// folders looks at all folders of the machine's servers at once.
func (i *inspector) folders(ctx context.Context) (map[string]folder, error) {
	if i.looked != nil {
		return i.looked, nil
	}
	argv := []string{"/bin/sh", "-c", folders, "sh"}
	for _, v := range i.m.servers {
		argv = append(argv, foldersOf(v)...)
	}
	out, err := i.m.output(ctx, argv...)
	if err != nil {
		return nil, err
	}
	i.looked = make(map[string]folder)
	for line := range strings.Lines(out) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(f) == 5 {
			i.looked[f[0]] = folder{f[0], f[1], f[2] == "yes", strings.Fields(f[3]), strings.Fields(f[4])}
		}
	}
	return i.looked, nil
}

// foldersOf are the folders that a server writes to, and that of its program.
func foldersOf(v inventory.Server) []string {
	return append(dataDirs(v), v.Paths.ConfDir, v.Paths.LogDir, path.Dir(v.Paths.Binary))
}

func (i *inspector) writable(ctx context.Context, v inventory.Server) error {
	looked, err := i.folders(ctx)
	if err != nil {
		return err
	}
	for _, dir := range foldersOf(v) {
		if f, ok := looked[dir]; ok && !f.writable {
			i.find(v.Name, Fail, "choose a folder under paths that "+i.m.facts.User+" may write to, or log in as a user who may",
				"%s may not be written by %s (needed for %s)", f.nearest, i.m.facts.User, dir)
		}
	}
	return nil
}

// disk looks at the free space and inodes of each file system once.
func (i *inspector) disk(ctx context.Context) error {
	looked, err := i.folders(ctx)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, v := range i.m.servers {
		for _, d := range foldersOf(v) {
			if f := looked[d]; len(f.space) > 5 && !seen[f.space[0]+f.space[5]] {
				seen[f.space[0]+f.space[5]] = true
				i.freeSpace(v.Name, f.space, f.inodes)
			}
		}
	}
	return nil
}

// freeSpace judges the lines that df prints: device, total, used, free, percent, mount point.
func (i *inspector) freeSpace(host string, space, inodes []string) {
	kib, err := strconv.ParseInt(space[3], 10, 64)
	if err != nil {
		i.find(host, Warn, "check by hand: df -k "+space[5], "free space of %s is not known (df says %q)", space[5], space[3])
		return
	}
	free := kib << 10
	outcome, remedy := Pass, ""
	switch {
	case free < diskFail:
		outcome, remedy = Fail, "free some space, or choose folders on another disk under paths"
	case free < diskWarn:
		outcome, remedy = Warn, "give the data a larger disk: a server whose disk is full stops"
	}
	i.find(host, outcome, remedy, "%s has %.1f GiB free", space[5], float64(free)/(1<<30))
	if len(inodes) < 6 || inodes[1] == "0" || inodes[1] == "-" {
		return // a file system without a fixed number of inodes
	}
	left, err := strconv.ParseInt(inodes[3], 10, 64)
	switch {
	case err != nil:
	case left < inodesFail:
		i.find(host, Fail, "remove files there, or choose folders on another disk", "%s has %d inodes left", space[5], left)
	case left < inodesWarn:
		i.find(host, Warn, "remove files there", "%s has %d inodes left", space[5], left)
	}
}

// listening prints the kernel's table of listening sockets, and who holds those on the ports given in hex as $1 (a
// pattern such as 0885|0B48).
const listening = `cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p="^($1)$" '$4=="0A" {n=split($2,a,":"); if (a[n] ~ p) print "socket", a[1], a[n], $10}' | sort -u
ino=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p="^($1)$" '$4=="0A" {n=split($2,a,":"); if (a[n] ~ p) print $10}' | sort -u | tr '\n' '|')
[ -n "$ino" ] || exit 0
for d in /proc/[0-9]*/fd; do
  for i in $(ls -l "$d" 2>/dev/null | grep -oE "socket:\[(${ino%|})\]" | tr -dc '0-9\n'); do
    p=${d%/fd}; echo "holder $i ${p#/proc/} $(tr '\0' ' ' <"$p/cmdline")"
  done
done; :`

// wantedPort is a port a server needs.
type wantedPort struct {
	server inventory.Server
	what   string
	port   int
}

func portsOf(v inventory.Server) []wantedPort {
	var ports []wantedPort
	if p := plainPort(v); p != 0 {
		ports = append(ports, wantedPort{v, "client", p})
	}
	ports = append(ports, wantedPort{v, "quorum", v.Ports.Quorum}, wantedPort{v, "election", v.Ports.Election})
	for _, key := range []string{"secureClientPort", "admin.serverPort", "metricsProvider.httpPort"} {
		if text, ok := v.Config.Get(key); ok {
			if port, err := strconv.Atoi(text); err == nil && port > 0 {
				ports = append(ports, wantedPort{v, key, port})
			}
		}
	}
	return ports
}

// ports asks that each port is free, or held by the server that is to have it.
func (i *inspector) ports(ctx context.Context) error {
	var wanted []wantedPort
	var patterns []string
	for _, v := range i.m.servers {
		for _, w := range portsOf(v) {
			wanted = append(wanted, w)
			patterns = append(patterns, fmt.Sprintf("%04X", w.port))
		}
	}
	out, err := i.m.output(ctx, "/bin/sh", "-c", listening, "sh", strings.Join(patterns, "|"))
	if err != nil {
		return err
	}
	table := parseListening(out)
	for _, v := range i.m.servers {
		st, err := i.m.state(ctx, v)
		if err != nil {
			return err
		}
		free := true
		for _, w := range wanted {
			if w.server.Name == v.Name {
				free = i.port(w, table, st.pid) && free
			}
		}
		if free {
			client, _ := v.ClientPort()
			i.pass(v.Name, "%d, %d, %d: %s", client, v.Ports.Quorum, v.Ports.Election, map[bool]string{true: "free", false: "held by this server"}[st.pid == 0])
		}
	}
	return nil
}

// port judges one port, and tells whether it may be had.
func (i *inspector) port(w wantedPort, table []listener, own int) bool {
	for _, l := range table {
		if l.port != w.port || !overlaps(l.address, i.bindAddress(w)) {
			continue
		}
		switch {
		case l.pid == own && own != 0, runsServer(strings.Fields(l.command), w.server.ConfigFile()):
		case l.pid == 0:
			i.find(w.server.Name, Fail, fmt.Sprintf("find its process as root (ss -ltnp), or choose another port: ports.%s", w.what),
				"%s port %d is in use by a process of another user", w.what, w.port)
			return false
		default:
			i.find(w.server.Name, Fail, fmt.Sprintf("stop it, or choose another port under ports for %s", w.server.Name),
				"%s port %d is in use by process %d: %s", w.what, w.port, l.pid, shorten(l.command))
			return false
		}
	}
	return true
}

// bindAddress is where a server will listen on a port; "" for every address.
func (i *inspector) bindAddress(w wantedPort) string {
	if w.what == "client" {
		address, _ := w.server.Config.Get("clientPortAddress")
		return address
	}
	if all, _ := w.server.Config.Get("quorumListenOnAllIPs"); all == "true" || w.what != "quorum" && w.what != "election" {
		return ""
	}
	return w.server.Address
}

// overlaps tells whether a listener at address a keeps one at b from being made; names may be any address.
func overlaps(a net.IP, b string) bool {
	ip := net.ParseIP(b)
	return a == nil || a.IsUnspecified() || ip == nil || ip.IsUnspecified() || a.Equal(ip)
}

func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + " ..."
	}
	return s
}

// listener is a listening socket and who holds it; pid 0 when that may not be known.
type listener struct {
	address net.IP
	port    int
	pid     int
	command string
}

// parseListening reads what the script listening prints.
func parseListening(out string) []listener {
	type holder struct {
		pid     int
		command string
	}
	holders := make(map[string]holder)
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "holder" {
			pid, err := strconv.Atoi(f[2])
			if err == nil {
				holders[f[1]] = holder{pid, strings.Join(f[3:], " ")}
			}
		}
	}
	var all []listener
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] != "socket" {
			continue
		}
		port, err := strconv.ParseUint(f[2], 16, 16)
		if err != nil {
			continue
		}
		h := holders[f[3]]
		all = append(all, listener{kernelIP(f[1]), int(port), h.pid, h.command})
	}
	return all
}

// kernelIP reads an address of /proc/net/tcp: 32-bit words in the host's (little-endian) order.
func kernelIP(text string) net.IP {
	b, err := hex.DecodeString(text)
	if err != nil || len(b)%4 != 0 {
		return nil
	}
	for w := 0; w < len(b); w += 4 {
		slices.Reverse(b[w : w+4])
	}
	return net.IP(b)
}

// foreign looks for other ZooKeeper servers on the machine.
func (i *inspector) foreign(ctx context.Context) error {
	out, err := i.m.output(ctx, "/bin/sh", "-c",
		`for p in $(grep -lsaF -e org.apache.zookeeper.server -e start-foreground /proc/[0-9]*/cmdline); do echo "$(tr '\0' ' ' <"$p")"; done 2>/dev/null; :`)
	if err != nil {
		return err
	}
	java, ours := 0, 0
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) < 2 || i.oneOfOurs(words) {
			continue
		}
		switch {
		case slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "org.apache.zookeeper.server.") }):
			java++
			i.find(i.m.name, Warn, "stop it before its ports or data are used here", "Apache ZooKeeper runs on this machine, with %s", words[len(words)-1])
		case words[1] == "server":
			ours++
		}
	}
	switch {
	case ours > 0:
		i.pass(i.m.name, "%d other zkctl servers run here", ours)
	case java == 0:
		i.pass(i.m.name, "none runs here")
	}
	return nil
}

// oneOfOurs tells whether a command line is that of a server of the inventory, or of our own look for it.
func (i *inspector) oneOfOurs(words []string) bool {
	return words[0] == "grep" || words[0] == "/bin/sh" || slices.ContainsFunc(i.s.servers, func(v inventory.Server) bool { return runsServer(words, v.ConfigFile()) })
}

// probe knocks at each "host port" of its arguments at once: "open" and "refused" both tell that packets arrive.
const probe = `command -v bash >/dev/null && command -v timeout >/dev/null || { echo unable; exit 0; }
while [ $# -gt 1 ]; do
  ( out=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1); s=$?
    case "$s $out" in
      "0 "*) r=open;; 124*) r="no answer within 3s";; *[Rr]"efused"*) r=refused;; *) r=${out##*: };;
    esac; printf '%s %s %s\n' "$1" "$2" "$(printf %s "$r" | tr '\n' ' ')" ) &
  shift 2
done; wait`

// network knocks from this machine at the ports of the others.
func (i *inspector) network(ctx context.Context) error {
	argv := []string{"/bin/sh", "-c", probe, "sh"}
	names := make(map[string]string)
	for _, o := range i.s.servers {
		if o.Machine() == i.m.servers[0].Machine() {
			continue
		}
		for _, port := range []int{o.Ports.Quorum, o.Ports.Election} {
			text := strconv.Itoa(port)
			names[o.Address+" "+text] = o.Name
			argv = append(argv, o.Address, text)
		}
	}
	if len(names) == 0 {
		return nil
	}
	res, err := i.m.host.Run(ctx, transport.Command{Argv: argv})
	if err != nil {
		return err
	}
	good := 0
	for line := range strings.Lines(string(res.Stdout)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		switch {
		case f[0] == "unable":
			i.find(i.m.name, Warn, "check by hand that the quorum and election ports of the others are reachable", "not tried: bash and timeout are needed for it")
			return nil
		case len(f) < 3:
		case f[2] == "open" || f[2] == "refused": // refused: the host answers, and no server runs yet
			good++
		default:
			i.find(i.m.name, Fail, "open the ports in the firewall between the hosts, or mend the address in the inventory",
				"port %s of %s (%s) is not reachable from here: %s", f[1], names[f[0]+" "+f[1]], f[0], f[2])
		}
	}
	if good == len(names) {
		i.pass(i.m.name, "the quorum and election ports of the others are reachable")
	}
	return nil
}
