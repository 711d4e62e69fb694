package quorum

import (
	"context"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// LinkInfo is what a leader knows of the connection of a learner.
type LinkInfo struct {
	Sid                      zab.Sid
	Observer                 bool
	Remote                   string // "ip:port"
	Since                    time.Time
	Queued, QueuedBytes      int   // packets that wait to be sent, and the bytes of those that are bounded
	Received, Sent, Requests int64 // packets; requests are of the learner's clients
	Acked                    zab.Zxid
}

// Links lists the learners of this leader, by sid; none on other servers, or
// when the loop does not answer until ctx ends.
func (p *Peer) Links(ctx context.Context) []LinkInfo {
	got := make(chan []LinkInfo, 1)
	if !p.inbox.put(func() { got <- p.linkInfos() }) {
		return nil
	}
	select {
	case list := <-got:
		return list
	case <-ctx.Done():
		return nil
	}
}

func (p *Peer) linkInfos() (list []LinkInfo) {
	for _, l := range p.zab.Status().Learners {
		link := p.links[l.Sid]
		if link == nil {
			continue
		}
		info := LinkInfo{
			Sid: l.Sid, Observer: l.Observer, Remote: link.conn.RemoteAddr().String(), Since: link.since, Acked: l.Acked,
			Received: link.received.Load(), Sent: link.sent.Load(), Requests: link.requests.Load(),
		}
		info.Queued, info.QueuedBytes = link.out.waiting()
		list = append(list, info)
	}
	return list
}

// ResetLinks forgets what was counted of the observers' connections.
func (p *Peer) ResetLinks() {
	p.inbox.put(func() {
		for _, l := range p.zab.Status().Learners {
			if link := p.links[l.Sid]; link != nil && l.Observer {
				link.received.Store(0)
				link.sent.Store(0)
				link.requests.Store(0)
			}
		}
	})
}

// waiting is how much has not been taken by the writer.
func (o *outbound) waiting() (items, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items), o.bytes
}
