package digestmd5

import (
	"bufio"
	"encoding/base64"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// A javaPeer is the JDK's side of a conversation.
type javaPeer struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func startJava(t *testing.T, args ...string) *javaPeer {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("no java: apt-get install default-jdk-headless")
	}
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("no javac: apt-get install default-jdk-headless")
	}
	cmd := exec.CommandContext(t.Context(), java, append([]string{"-Dfile.encoding=UTF-8", "testdata/Peer.java"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &javaPeer{t, in, bufio.NewScanner(out)}
}

// step gives the peer a message and takes its answer; ok is false when it
// refuses.
func (p *javaPeer) step(msg []byte) (answer []byte, done, ok bool) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, base64.StdEncoding.EncodeToString(msg)+"\n"); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("java ended: %v", p.out.Err())
	}
	text, state, ok := strings.Cut(p.out.Text(), " ")
	if !ok {
		return nil, false, false
	}
	answer, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer, state == "done", true
}

func TestJavaClient(t *testing.T) {
	for _, x := range []struct {
		password string
		right    bool
	}{{`pass "word" \x`, true}, {"wrong", false}} {
		j := startJava(t, "client", "zookeeper", "zk-sasl-md5", `al"ice`, x.password)
		s := NewServer("zookeeper", "zk-sasl-md5", users(`al"ice`, `pass "word" \x`))
		challenge, err := s.Step(nil)
		if err != nil {
			t.Fatal(err)
		}
		response, _, ok := j.step(challenge)
		if !ok {
			t.Fatalf("java refuses %s", challenge)
		}
		rspauth, err := s.Step(response)
		if (err == nil) != x.right {
			t.Fatalf("%s: %v, password right: %v", response, err, x.right)
		}
		if !x.right {
			continue
		}
		if _, done, ok := j.step(rspauth); !done || !ok || s.Username() != `al"ice` {
			t.Errorf("java does not believe %s of %q", rspauth, s.Username())
		}
	}
}

func TestJavaServer(t *testing.T) {
	for _, x := range []struct {
		password string
		right    bool
	}{{"se\u00f1or", true}, {"wrong", false}} {
		j := startJava(t, "server", "zookeeper-quorum", "zk-quorum-sasl-md5", "", "se\u00f1or")
		c := NewClient("zookeeper-quorum", "zk-quorum-sasl-md5", "jos\u00e9", x.password)
		challenge, _, _ := j.step(nil)
		response, err := c.Step(challenge)
		if err != nil {
			t.Fatalf("%s: %v", challenge, err)
		}
		rspauth, done, ok := j.step(response)
		if done != x.right || ok != x.right {
			t.Fatalf("%s: done %v, password right: %v", response, done, x.right)
		}
		if !x.right {
			continue
		}
		if _, err := c.Step(rspauth); err != nil || !c.Done() {
			t.Errorf("%s: %v", rspauth, err)
		}
	}
}
