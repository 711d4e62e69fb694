package tlsconf

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// pollInterval is how often the files are looked at for changes. Looking costs
// a stat of each; watching their folders through the kernel would miss what
// network file systems change.
const pollInterval = 2 * time.Second

// stamps tell whether files have changed: one line a file.
type stamps []string

// stamp looks at the files that the stores are read from.
func (k *Keys) stamp() stamps {
	var out stamps
	for _, f := range append(k.keyStore().files(), k.trustStore().files()...) {
		info, err := os.Stat(f)
		if err != nil {
			out = append(out, f+" is missing")
			continue
		}
		out = append(out, fmt.Sprintf("%s %d %d %s", f, info.Size(), info.ModTime().UnixNano(), inode(info)))
	}
	return out
}

// Watch takes new certificates while the server runs, when the keys ask for
// that (client.certReload, sslQuorumReloadCertFiles). It returns nil when ctx
// ends. Connections that are there stay as they are.
func (k *Keys) Watch(ctx context.Context) error {
	if !k.opts.TLS.CertReload {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	tried := k.now.Load().seen
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			tried = k.reload(tried)
		}
	}
}

// reload reads the stores again if their files are not as they were when it was
// last tried, and returns how they are now. Files that cannot be used leave all
// as it was, and are told once.
func (k *Keys) reload(tried stamps) stamps {
	now := k.stamp()
	if slices.Equal(now, tried) {
		return tried
	}
	s, err := k.load()
	if err != nil {
		k.opts.Logger.Error("changed certificates cannot be used; those from before stay in use", "err", err)
		return now
	}
	k.now.Store(s)
	k.tell("new certificates are in use", s)
	return s.seen
}
