package install

import (
	"context"
	"errors"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// A Connector reaches machines as the inventory says: over SSH, as root where that is wanted, or this machine itself.
type Connector struct {
	Dialer   *transport.Dialer
	Prompter transport.Prompter // for sudo on this machine; nil: nobody to ask
}

// Connect implements [Connect].
func (c Connector) Connect(ctx context.Context, s inventory.Server, name string) (transport.Host, error) {
	if s.Connection == inventory.ConnectLocal {
		host := transport.Local(name, c.Prompter)
		if s.SSH.Sudo != nil && *s.SSH.Sudo {
			return host.Root(ctx)
		}
		return host, nil
	}
	host, err := c.Dialer.Dial(ctx, loginTarget(s, name))
	if err != nil {
		return nil, err
	}
	if s.SSH.Sudo != nil && !*s.SSH.Sudo {
		return host, nil
	}
	root, err := host.Root(ctx)
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	return root, nil
}

// loginTarget is whom to dial for a server.
func loginTarget(s inventory.Server, name string) transport.Target {
	l := s.SSH
	t := transport.Target{Name: name, Address: l.Address, User: l.User, Port: l.Port,
		IdentityFiles: l.IdentityFiles, KnownHosts: l.KnownHosts, ConnectTimeout: l.ConnectTimeout}
	for _, b := range l.Bastions {
		t.Bastions = append(t.Bastions, transport.Target{Address: b.Address, User: b.User, Port: b.Port,
			IdentityFiles: b.IdentityFiles, KnownHosts: l.KnownHosts, ConnectTimeout: l.ConnectTimeout})
	}
	return t
}
