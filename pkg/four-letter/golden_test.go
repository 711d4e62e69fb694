package fourletter

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type writer interface{ Write(w io.Writer) error }

// readers parse the answer to each word that has content.
func readers() map[string]func([]byte) (writer, error) {
	return map[string]func([]byte) (writer, error){
		Srvr: reader(ParseSrvr), Stat: reader(ParseStat), Mntr: reader(ParseMntr), Conf: reader(ParseConf),
		Cons: reader(ParseCons), Envi: reader(ParseEnvi), Dirs: reader(ParseDirs), Wchs: reader(ParseWchs),
		Wchc: reader(ParseWchc), Wchp: reader(ParseWchp), Dump: reader(ParseDump),
	}
}

func reader[A writer](parse func([]byte) (A, error)) func([]byte) (writer, error) {
	return func(b []byte) (writer, error) { return parse(b) }
}

func printed(t *testing.T, a writer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := a.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wordOf gives the word that a golden file answers, and whether its answer has content.
func wordOf(name string) (word string, read func([]byte) (writer, error)) {
	word = strings.TrimSuffix(filepath.Base(name), ".txt")
	return word, readers()[word]
}

func goldens(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/3.*/*/*.txt")
	if err != nil || len(names) < 50 {
		t.Fatalf("%d golden files: %v", len(names), err)
	}
	return names
}

// TestJavaAnswersRoundTrip reads what Java servers answered and writes it again,
// byte for byte. What 3.4 writes in another form must mean the same once written.
func TestJavaAnswersRoundTrip(t *testing.T) {
	for _, name := range goldens(t) {
		word, read := wordOf(name)
		if read == nil || strings.Contains(name, "not-serving") && word != Envi {
			continue
		}
		t.Run(name, func(t *testing.T) {
			java, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			a, err := read(java)
			if err != nil {
				t.Fatal(err)
			}
			ours := printed(t, a)
			if strings.HasPrefix(name, "testdata/3.4") && (word == Srvr || word == Stat || word == Dump) {
				again, err := read(ours)
				if err != nil || !reflect.DeepEqual(a, again) {
					t.Errorf("read again: %+v, %v; was %+v", again, err, a)
				}
				return
			}
			if !bytes.Equal(ours, java) {
				t.Errorf("got:\n%s\nJava wrote:\n%s", ours, java)
			}
		})
	}
}

func TestFixedAnswers(t *testing.T) {
	fixed := map[string]string{
		"3.8/standalone/ruok.txt": Imok, "3.8/standalone/srst.txt": StatsReset, "3.8/standalone/crst.txt": ConnectionsReset,
		"3.8/standalone/isro.txt": ReadWrite, "3.8/not-serving/isro.txt": ReadUnknown, "3.8/not-serving/ruok.txt": Imok,
		"3.8/not-serving/srvr.txt": NotServingAnswer, "3.8/standalone/gtmk.txt": DefaultTraceMask,
		"3.8/not-whitelisted.txt": NotWhitelistedAnswer(Mntr),
	}
	for name, want := range fixed {
		if got := string(golden(t, name)); got != want {
			t.Errorf("%s: Java wrote %q, we write %q", name, got, want)
		}
	}
}

func TestParsedValues(t *testing.T) {
	stat, err := ParseStat(golden(t, "3.8/standalone/stat.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if stat.Mode != ModeStandalone || stat.Zxid != 5 || stat.Latency != (Latency{0, 13, 2.6}) || len(stat.Clients) != 3 || stat.NodeCount != 8 {
		t.Errorf("stat: %+v", stat)
	}
	leader, err := ParseSrvr(golden(t, "3.8/leader/srvr.txt"))
	if err != nil || leader.Zxid.Epoch() != 1 || leader.Zxid.Counter() != 9 || *leader.Proposals != (ProposalSizes{96, 48, 97}) {
		t.Errorf("srvr: %+v, %v", leader, err)
	}
	cons, err := ParseCons(golden(t, "3.8/standalone/cons.txt"))
	if err != nil || cons.Connections[0].Session != nil || cons.Connections[1].Session.LastOp != "GETD" ||
		cons.Connections[1].Session.Timeout.Seconds() != 10 || !cons.Connections[1].Session.HasCxid {
		t.Errorf("cons: %+v, %v", cons, err)
	}
	dump, err := ParseDump(golden(t, "3.8/follower/dump.txt"))
	if err != nil || !dump.Learner || len(dump.Global) != 3 || len(dump.Ephemerals) != 3 || dump.Connections[0].At.Year() != 2026 {
		t.Errorf("dump: %+v, %v", dump, err)
	}
	conf, err := ParseConf(golden(t, "3.9/observer/conf.txt"))
	if v, _ := conf.Get("peerType"); err != nil || v != "1" || !strings.HasSuffix(conf.Membership, "\nversion=0") {
		t.Errorf("conf: %+v, %v", conf, err)
	}
	mntr, err := ParseMntr(golden(t, "3.9/leader/mntr.txt"))
	n, ok := mntr.Int("synced_followers")
	f, _ := mntr.Float("avg_latency")
	if err != nil || !ok || n != 2 || f <= 0 {
		t.Errorf("mntr: synced_followers %d, avg_latency %v, %v", n, f, err)
	}
}

// TestForms holds layouts that the goldens do not have.
func TestForms(t *testing.T) {
	forms := map[string]string{
		Srvr: "Zookeeper version: 3.9.3--1, built on x\nREAD-ONLY mode; serving only read-only clients\nLatency min/avg/max: 0/1.0E-4/1\n" +
			"Received: 1\nSent: 2\nConnections: 1\nOutstanding: 0\nZxid: 0xffffffffffffffff\nMode: read-only\nNode count: 5\n",
		Cons: " /[0:0:0:0:0:0:0:1]:1[5](queued=0,recved=1,sent=1,sid=0x1,lop=NA,est=1,to=4000,lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n\n",
		Dump: "SessionTracker dump:\nLocal Session Sets (1)/(1):\n1 expire at Sun Nov 22 14:13:21 UTC 2026:\n\t0x1\nGlobal Session Sets (0)/(0):\n" +
			"ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x1:\n\t/with space: and colon\nConnections dump:\nConnections Sets (0)/(0):\n",
		Mntr: "zk_readlatency{quantile=\"0.5\"}\tNaN\nzk_version\t3.9 with\ttab\n",
		Wchc: "\n",
	}
	for word, text := range forms {
		a, err := readers()[word]([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", word, err)
		} else if got := string(printed(t, a)); got != text {
			t.Errorf("%s: got %q, want %q", word, got, text)
		}
	}
}

func TestRefusals(t *testing.T) {
	for word, read := range readers() {
		for answer, want := range map[string]error{
			NotServingAnswer: ErrNotServing, NotWhitelistedAnswer(word): ErrNotWhitelisted,
			"": ErrFormat, "HTTP/1.1 400 Bad Request\r\n": ErrFormat,
		} {
			if _, err := read([]byte(answer)); !errors.Is(err, want) {
				t.Errorf("%s: %q gave %v, want %v", word, answer, err, want)
			}
		}
	}
}

func TestFormatDouble(t *testing.T) {
	for want, f := range map[string]float64{
		"0.0": 0, "1.0": 1, "2.6": 2.6, "11.1667": 11.1667, "0.001": 0.001, "1.0E-4": 0.0001, "2.5E-4": 0.00025,
		"9999999.0": 9999999, "1.0E7": 1e7, "1.23456789E8": 123456789, "-3.0": -3,
	} {
		if got := formatDouble(f); got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
	}
}

// FuzzParse asks of every parser that what it reads, it writes and reads again to
// the same value, and that the rest is one of the errors of this package.
func FuzzParse(f *testing.F) {
	for _, name := range goldens(f) {
		if word, read := wordOf(name); read != nil && word != Mntr && word != Envi {
			f.Add(word, golden(f, strings.TrimPrefix(name, "testdata/")))
		}
	}
	f.Add(Mntr, []byte("zk_version\t3\nzk_uptime\t5\n"))
	f.Add(Envi, []byte("Environment:\na=b\n"))
	f.Add(Hash, []byte("100000080: -1371\n100000100: 9223372036854775807\n"))
	f.Fuzz(func(t *testing.T, word string, answer []byte) {
		read := readers()[word]
		if word == Hash { // whose empty answer is one, unlike the others'
			read = reader(ParseHash)
		}
		if read == nil {
			t.Skip()
		}
		a, err := read(answer)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrNotServing) && !errors.Is(err, ErrNotWhitelisted) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		first := printed(t, a)
		again, err := read(first)
		if err != nil {
			t.Fatalf("%q was written as %q, which gives %v", answer, first, err)
		}
		if second := printed(t, again); !bytes.Equal(first, second) {
			t.Fatalf("%q, then %q", first, second)
		}
	})
}
