package main

import (
	"strings"
	"testing"
)

func TestArrange(t *testing.T) {
	app := newApp(environment{getenv: func(string) string { return "" }})
	for in, want := range map[string]string{
		"zkctl":                                "zkctl",
		"zkctl --help":                         "zkctl --help",
		"zkctl status":                         "zkctl status",
		"zkctl 4lw ruok -i hosts.yaml":         "zkctl 4lw -i hosts.yaml ruok",
		"zkctl 4lw ruok --servers=a:1 -o json": "zkctl 4lw --servers=a:1 -o json ruok",
		"zkctl server start zoo.cfg --log-level debug": "zkctl server start --log-level debug zoo.cfg",
		"zkctl server start --nosuch zoo.cfg":          "zkctl server start --nosuch zoo.cfg",
		"zkctl purge --dry-run x --keep 5":             "zkctl purge --dry-run --keep 5 x",
		"zkctl status --watch 5s -o json":              "zkctl status --watch=5s -o json",
		"zkctl status -w -i x":                         "zkctl status -w -i x",
		"zkctl status --watch":                         "zkctl status --watch",
		"zkctl inventory check - -i -":                 "zkctl inventory check -i - -",
		"zkctl 4lw -- -x -i y":                         "zkctl 4lw -- -x -i y",
		"zkctl server start zoo.cfg -Da=b=c -D d=e":    "zkctl server start -D a=b=c -D d=e zoo.cfg",
		"zkctl server start zoo.cfg -D=a=b -Da":        "zkctl server start -D=a=b -D a zoo.cfg",
		"zkctl server stop -Da=b zoo.cfg":              "zkctl server stop -Da=b zoo.cfg",
		"zkctl server nosuch a --b":                    "zkctl server nosuch a --b",
		"zkctl nosuch --b a":                           "zkctl nosuch --b a",
		"zkctl 4lw ruok -i":                            "zkctl 4lw -i ruok",
		"zkctl 4lw r -i --generate-bash-completion":    "zkctl 4lw r -i --generate-bash-completion",
	} {
		if got := strings.Join(arrange(app.Commands, strings.Fields(in)), " "); got != want {
			t.Errorf("%s\n is %s\nnot %s", in, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for in, want := range map[string]string{"srrv": "srvr", "sttas": "stat", "RUOK": "ruok", "mnt": "mntr", "xyzzy": "", "": ""} {
		if got := nearest(in, sendable()); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
