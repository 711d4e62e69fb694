package pipeline

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// setQuota gives a subtree a quota as zkCli's setquota does: limits, then stats.
func (c *client) setQuota(path, limits string) {
	c.t.Helper()
	parent := "/zookeeper/quota"
	for name := range strings.SplitSeq(path[1:], "/") {
		parent += "/" + name
		if r := c.do(proto.OpCreate, create(parent, 0)); r.Err != proto.OK && r.Err != proto.ErrNodeExists {
			c.t.Fatal(r.Err)
		}
	}
	c.must(proto.OpCreate, createData(parent+"/zookeeper_limits", limits))
	c.must(proto.OpCreate, createData(parent+"/zookeeper_stats", "count=0,bytes=0"))
}

func createData(path, data string) []byte {
	return proto.CreateRequest{Path: path, Data: []byte(data), ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)
}

func (c *client) data(path string) string {
	c.t.Helper()
	return string(c.must(proto.OpGetData, watched(path, false)).Buffer())
}

func TestQuotaEnforced(t *testing.T) {
	var log bytes.Buffer
	f := leader(t, func(c *Config) {
		c.EnforceQuota = true
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	c := f.connect()
	c.must(proto.OpCreate, createData("/q", ""))
	c.setQuota("/q", "count=1,bytes=5=;byteHardLimit=10;countHardLimit=4")
	for _, x := range []struct {
		name string
		op   proto.Op
		body []byte
		want proto.Code
	}{
		{"hard limits stand in for soft ones", proto.OpCreate, createData("/q/a", "123456"), proto.OK},
		{"bytes up to the limit", proto.OpSetData, setData("/q/a", "1234567890", -1), proto.OK},
		{"no byte more", proto.OpSetData, setData("/q/a", "12345678901", -1), proto.ErrQuotaExceeded},
		{"quota before version", proto.OpSetData, setData("/q/a", "12345678901", 77), proto.ErrQuotaExceeded},
		{"permission and existence before quota", proto.OpSetData, setData("/q/no", "12345678901", -1), proto.ErrNoNode},
		{"a znode with bytes", proto.OpCreate, createData("/q/b", "1"), proto.ErrQuotaExceeded},
		{"existence before quota", proto.OpCreate, createData("/q/a", "1"), proto.ErrNodeExists},
		{"without bytes", proto.OpCreate, createData("/q/b", ""), proto.OK},
		{"up to the count", proto.OpCreate2, createData("/q/b/c", ""), proto.OK},
		{"no znode more", proto.OpCreate, createData("/q/b/d", ""), proto.ErrQuotaExceeded},
		{"nor a container", proto.OpCreateContainer, create("/q/b/d", proto.ModeContainer), proto.ErrQuotaExceeded},
		{"less is fine", proto.OpSetData, setData("/q/a", "", -1), proto.OK},
		{"nothing new is fine", proto.OpSetData, setData("/q/a", "", -1), proto.OK},
		{"elsewhere", proto.OpCreate, createData("/r", "12345678901"), proto.OK},
	} {
		if r := c.do(x.op, x.body); r.Err != x.want {
			t.Errorf("%s: %v, want %v", x.name, r.Err, x.want)
		}
	}
	r := c.must(proto.OpMulti, multi(part(proto.OpCreate, newNode("/s")), part(proto.OpCreate, newNode("/q/x"))))
	if got := r.results(t); !equal(got, []int32{0, int32(proto.ErrQuotaExceeded)}) {
		t.Errorf("a multi that breaks a quota: %v", got)
	}
	if r := c.do(proto.OpExists, watched("/s", false)); r.Err != proto.ErrNoNode {
		t.Errorf("the multi's other part: %v", r.Err)
	}
	if got := f.p.Metrics().QuotaExceeded.Values(); len(got) != 1 || got["q"] != 6 {
		t.Errorf("counted %v", got)
	}
	if got, want := f.p.QuotaByNamespace()["q"], (QuotaUse{CountLimit: 4, BytesLimit: 10, Count: 4, Bytes: 0}); got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
	if n := strings.Count(log.String(), "quota=/q "); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}

// TestQuotaTold breaks limits that are not enforced, for subtrees that come and
// quotas that go.
func TestQuotaTold(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.must(proto.OpCreate, createData("/q", ""))
	c.setQuota("/q", "count=1,bytes=-1=;countHardLimit=2")
	c.setQuota("/later", "count=-1,bytes=3")
	for _, path := range []string{"/q/a", "/q/b", "/q/c", "/later", "/later/x"} {
		c.must(proto.OpCreate, createData(path, "12"))
	}
	if got := c.data("/zookeeper/quota/q/zookeeper_stats"); got != "count=4,bytes=6" {
		t.Errorf("stats of /q: %s", got)
	}
	if got := c.data("/zookeeper/quota/later/zookeeper_stats"); got != "count=2,bytes=4" {
		t.Errorf("stats of /later: %s", got)
	}
	if n := len(f.p.Metrics().QuotaExceeded.Values()); n != 0 {
		t.Errorf("%d counted as refused", n)
	}
	c.must(proto.OpDelete, versioned("/zookeeper/quota/q/zookeeper_limits", -1))
	c.must(proto.OpCreate, createData("/q/d", "12"))
	if got := c.data("/zookeeper/quota/q/zookeeper_stats"); got != "count=4,bytes=6" {
		t.Errorf("stats of /q without a quota: %s", got)
	}
}

// TestQuotaWithoutStats: a quota whose usage is not counted refuses nothing.
func TestQuotaWithoutStats(t *testing.T) {
	f := leader(t, func(c *Config) { c.EnforceQuota = true })
	c := f.connect()
	c.must(proto.OpCreate, create("/zookeeper/quota/q", 0))
	c.must(proto.OpCreate, createData("/zookeeper/quota/q/zookeeper_limits", "count=-1,bytes=-1=;countHardLimit=0"))
	c.must(proto.OpCreate, createData("/q", "x"))
}
