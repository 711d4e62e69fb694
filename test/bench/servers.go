package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// patience bounds what is waited for.
const patience = 60 * time.Second

// A launcher returns the command that runs a server with a zoo.cfg.
type launcher func(config string) *exec.Cmd

// zkctl builds the command of this checkout and launches it.
func zkctl(ctx context.Context, dir string) (launcher, error) {
	path := filepath.Join(dir, "zkctl")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/zkctl")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build zkctl (run this in the top folder of the checkout): %w\n%s", err, out)
	}
	return func(config string) *exec.Cmd {
		return exec.Command(path, "server", "start-foreground", "--config", config)
	}, nil
}

// errNoJava says why Apache's server is not measured.
var errNoJava = errors.New("the server of Apache is not measured: apt-get install default-jre-headless libzookeeper-java")

// java launches Apache's server from Debian's jars.
func java() (launcher, error) {
	const dir = "/usr/share/java/"
	if _, err := exec.LookPath("java"); err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoJava, err)
	}
	var path []string
	for _, jar := range []string{
		"zookeeper", "zookeeper-jute", "commons-cli", "commons-io", "jackson-annotations", "jackson-core", "jackson-databind", "jline",
		"metrics-core", "netty-buffer", "netty-common", "netty-handler", "netty-transport", "netty-transport-native-epoll",
		"netty-transport-native-unix-common", "netty-resolver", "netty-codec", "slf4j-api", "slf4j-simple", "log4j-1.2", "snappy-java",
	} {
		if _, err := os.Stat(dir + jar + ".jar"); err == nil {
			path = append(path, dir+jar+".jar")
		} else if jar == "zookeeper" {
			return nil, fmt.Errorf("%w (%w)", errNoJava, err)
		}
	}
	return func(config string) *exec.Cmd {
		return exec.Command("java", "-Xmx1g", "-Dzookeeper.admin.enableServer=false", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
			"-cp", strings.Join(path, ":"), "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
	}, nil
}

// A group is the running servers of one measurement.
type group struct {
	addresses []string
	commands  []*exec.Cmd
}

// start runs n servers below dir and waits until they serve.
func start(dir string, launch launcher, n int) (*group, error) {
	ports, err := freePorts(3 * n)
	if err != nil {
		return nil, err
	}
	g := new(group)
	for i := range n {
		config, err := writeConfig(filepath.Join(dir, strconv.Itoa(i+1)), ports, i, n)
		if err != nil {
			return g, err
		}
		cmd := launch(config)
		log, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.log", i+1)))
		if err != nil {
			return g, err
		}
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
		_ = log.Close() // the server has its own
		if err != nil {
			return g, err
		}
		g.commands = append(g.commands, cmd)
		g.addresses = append(g.addresses, fmt.Sprintf("127.0.0.1:%d", ports[3*i]))
	}
	return g, g.await()
}

func writeConfig(dir string, ports []int, i, n int) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	text := fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n", dir, ports[3*i])
	for j := 0; n > 1 && j < n; j++ {
		text += fmt.Sprintf("server.%d=127.0.0.1:%d:%d\n", j+1, ports[3*j+1], ports[3*j+2])
	}
	config := filepath.Join(dir, "zoo.cfg")
	return config, errors.Join(
		os.WriteFile(config, []byte(text), 0o600),
		os.WriteFile(filepath.Join(dir, "myid"), []byte(strconv.Itoa(i+1)+"\n"), 0o600))
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// await returns when every server serves.
func (g *group) await() error {
	deadline := time.Now().Add(patience)
	for _, address := range g.addresses {
		for {
			c, err := dial(address, time.Second)
			if err == nil {
				c.close()
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s does not serve: %w", address, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// leader is the index of the server that leads.
func (g *group) leader(ctx context.Context) (int, error) {
	for i, address := range g.addresses {
		answer, err := fourletter.Ask(ctx, address, fourletter.Srvr)
		if err != nil {
			return 0, err
		}
		if a, err := fourletter.ParseSrvr(answer); err == nil && a.Mode == fourletter.ModeLeader {
			return i, nil
		}
	}
	return 0, errors.New("no server leads")
}

func (g *group) kill(i int) {
	_ = g.commands[i].Process.Kill()
	_ = g.commands[i].Wait() // its status says that it was killed
}

func (g *group) end() {
	for i, c := range g.commands {
		if c.ProcessState == nil {
			g.kill(i)
		}
	}
}

// usage is the processor time that the servers have used and the memory they
// have now, from proc(5).
func (g *group) usage() (cpu time.Duration, rss int64) {
	const ticks = 100 // a second, on every Linux
	for _, c := range g.commands {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		if len(fields) < 22 {
			continue
		}
		for _, f := range fields[11:13] {
			n, _ := strconv.ParseInt(f, 10, 64)
			cpu += time.Duration(n) * time.Second / ticks
		}
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		rss += pages * int64(os.Getpagesize())
	}
	return cpu, rss
}
