package main

import (
	"crypto/tls"
	"net"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/tlsconf"
)

// tlsFlags say how servers are asked over TLS.
type tlsFlags struct {
	use      *bool // nil: not said
	files    tlsconf.Files
	insecure *bool // nil: not said
}

func (f *tlsFlags) flags() []cli.Flag {
	truth := func(to **bool) func(*cli.Context, bool) error {
		return func(_ *cli.Context, v bool) error {
			*to = &v
			return nil
		}
	}
	return []cli.Flag{
		&cli.BoolFlag{Name: "tls", Usage: "ask over TLS; with an inventory, at the secure client port (implied by the flags below)", EnvVars: []string{"ZKCTL_TLS"}, Action: truth(&f.use)},
		&cli.StringFlag{Name: "tls-ca", Usage: "trust the authorities in `FILE`, PEM (default: the system's)", EnvVars: []string{"ZKCTL_TLS_CA"}, Destination: &f.files.CA, TakesFile: true},
		&cli.StringFlag{Name: "tls-cert", Usage: "show the certificate in `FILE`, PEM, to servers that want one", EnvVars: []string{"ZKCTL_TLS_CERT"}, Destination: &f.files.Cert, TakesFile: true},
		&cli.StringFlag{Name: "tls-key", Usage: "read the certificate's private key from `FILE`, PEM (default: that of --tls-cert)", EnvVars: []string{"ZKCTL_TLS_KEY"}, Destination: &f.files.Key, TakesFile: true},
		&cli.StringFlag{Name: "tls-key-password-file", Usage: "read the password of an encrypted key from `FILE`", EnvVars: []string{"ZKCTL_TLS_KEY_PASSWORD_FILE"}, Destination: &f.files.KeyPasswordFile, TakesFile: true},
		&cli.StringFlag{Name: "tls-server-name", Usage: "look for `NAME` in servers' certificates (default: the host asked)", EnvVars: []string{"ZKCTL_TLS_SERVER_NAME"}, Destination: &f.files.ServerName},
		&cli.BoolFlag{Name: "tls-insecure-skip-verify", Usage: "believe any server, whatever its certificate", EnvVars: []string{"ZKCTL_TLS_INSECURE_SKIP_VERIFY"}, Action: truth(&f.insecure)},
	}
}

// wanted tells whether the flags ask for TLS, and whether they say anything of it.
func (f *tlsFlags) wanted() (yes, said bool) {
	if f.use != nil {
		return *f.use, true
	}
	given := f.files != tlsconf.Files{} || f.insecure != nil && *f.insecure
	return given, given
}

// over lays the flags upon what an inventory says.
func (f *tlsFlags) over(base tlsconf.Files) tlsconf.Files {
	for _, s := range []struct{ flag, to *string }{
		{&f.files.CA, &base.CA}, {&f.files.ServerName, &base.ServerName},
	} {
		if *s.flag != "" {
			*s.to = *s.flag
		}
	}
	if f.files.Cert != "" {
		base.Cert, base.Key, base.KeyPasswordFile = f.files.Cert, f.files.Key, f.files.KeyPasswordFile
	}
	if f.insecure != nil {
		base.Insecure = *f.insecure
	}
	return base
}

// config reads the files.
func (f *tlsFlags) config(base tlsconf.Files) (*tls.Config, error) {
	files := f.over(base)
	if files.Cert == "" && f.files.Key != "" {
		files.Key = f.files.Key // to be told that its certificate is missing
	}
	conf, err := files.Config()
	if err != nil {
		return nil, &problem.Problem{Op: "read the files for TLS", Err: err, Do: "name PEM files with --tls-ca, --tls-cert and --tls-key, or below tls: in the inventory"}
	}
	return conf, nil
}

// bare adds TLS to servers of which only the address is known.
func (f *tlsFlags) bare(targets []target) error {
	if yes, _ := f.wanted(); !yes {
		return nil
	}
	conf, err := f.config(tlsconf.Files{})
	if err != nil {
		return err
	}
	for i := range targets {
		targets[i].tls = conf
	}
	return nil
}

// endpoint is where and how to ask a server of an inventory.
func (f *tlsFlags) endpoint(s *inventory.Server) (address string, conf *tls.Config, err error) {
	port, secure := s.ClientPort()
	if yes, said := f.wanted(); said {
		secure = yes
		switch {
		case yes && s.Ports.SecureClient != 0:
			port = s.Ports.SecureClient
		case !s.Ports.OnlySecure():
			port = s.Ports.Client
		}
	}
	address = net.JoinHostPort(s.ClientAddress, strconv.Itoa(port))
	if secure {
		conf, err = f.config(install.TLSFiles(*s))
	}
	return address, conf, err
}

// own is the server of a zoo.cfg on this host. Where it has only a port for TLS
// and no flags say how to use that, it is asked with its own certificates.
func (f *tlsFlags) own(cfg *config.Config) (target, error) {
	port, host := cfg.ClientPort, cfg.ClientPortAddress
	secure, said := f.wanted()
	if !said {
		secure = port == 0 && cfg.SecureClientPort != 0
	}
	if secure && cfg.SecureClientPort != 0 {
		port, host = cfg.SecureClientPort, cfg.SecureClientPortAddress
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	t := target{address: net.JoinHostPort(host, strconv.Itoa(port))}
	t.name = t.address
	var err error
	switch {
	case secure && f.files != tlsconf.Files{}, secure && f.insecure != nil:
		t.tls, err = f.config(tlsconf.Files{})
	case secure:
		if t.tls, err = tlsconf.Self("ssl.", cfg.TLS); err != nil {
			err = &problem.Problem{Op: "read the server's certificates", Err: err, Do: "ask as a user who may read them, or name others with --tls-ca, --tls-cert and --tls-key"}
		}
	}
	return t, err
}
