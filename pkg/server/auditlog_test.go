package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
)

// TestAuditFile: a relative file is below the log directory, nobody else may read
// it, and all is in it when the server has ended.
func TestAuditFile(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, freePort(t), "audit.enable=true\nauditlog.file=audit.log\n")
	c := r.dial(t)
	if _, err := c.Create("/a", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.log")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operation=serverStart\tresult=success\n", "operation=create\tznode=/a\tznode_type=persistent\tresult=success\n", "operation=serverStop\tresult=invoked\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAuditRefuses(t *testing.T) {
	for want, extra := range map[string]string{
		"audit.impl.class=com.example.Mine": "audit.enable=true\naudit.impl.class=com.example.Mine\n",
		"auditlog.file":                     "audit.enable=true\nauditlog.file=/none/there/audit.log\n",
	} {
		if err := tryRun(t, extra); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
