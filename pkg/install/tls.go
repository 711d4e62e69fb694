package install

import (
	"context"
	"crypto/tls"
	"strings"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/server/tlsconf"
)

// plainPort is the client port without TLS; 0 when there is none.
func plainPort(v inventory.Server) int {
	if v.Ports.OnlySecure() {
		return 0
	}
	return v.Ports.Client
}

// TLSFiles is what the inventory says of asking a server over TLS. The server's
// certificate is to be one of the address that clients use, also where it is
// asked on its own machine.
func TLSFiles(v inventory.Server) tlsconf.Files {
	t := v.TLS
	name := t.ServerName
	if name == "" {
		name = v.ClientAddress
	}
	return tlsconf.Files{
		CA: t.CA, Cert: t.Cert, Key: t.Key, KeyPasswordFile: t.KeyPasswordFile, ServerName: name, Insecure: t.Insecure(),
	}
}

// clientTLS is nil for a server that is asked without TLS.
func clientTLS(v inventory.Server) (*tls.Config, error) {
	if _, secure := v.ClientPort(); !secure {
		return nil, nil
	}
	return TLSFiles(v).Config()
}

// askOnHost is the command that asks a server from its own machine. Over TLS it
// is the server's zoo.cfg that names the certificates there.
func askOnHost(v inventory.Server, word string) []string {
	if _, secure := v.ClientPort(); secure {
		return []string{v.Paths.Binary, "4lw", "--config", v.ConfigFile(), word}
	}
	return []string{v.Paths.Binary, "4lw", "--servers", localEndpoint(v), word}
}

// certificates asks that the files which ssl.* keys name are on the machine:
// they are the user's to bring there.
func (i *inspector) certificates(ctx context.Context) error {
	for _, v := range i.m.servers {
		before, named := len(i.out), 0
		for _, c := range v.Config {
			if !strings.HasPrefix(c.Key, "ssl.") || !strings.HasSuffix(c.Key, "Store.location") && !strings.HasSuffix(c.Key, ".passwordPath") {
				continue
			}
			named++
			info, err := statMaybe(ctx, i.m.host, c.Value)
			if err != nil {
				return err
			}
			if info == nil {
				i.find(v.Name, Fail, "copy it there, readable by "+orLogin(v.Service.User), "%s=%s is not there", c.Key, c.Value)
			}
		}
		if named > 0 && len(i.out) == before {
			i.pass(v.Name, "the %d files that ssl.* keys name are there", named)
		}
	}
	return nil
}

func orLogin(user string) string {
	if user == "" {
		return "the user that runs the server"
	}
	return user
}
