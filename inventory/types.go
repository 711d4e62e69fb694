package inventory

import "time"

// Inventory describes one ensemble: its servers, and how to reach, lay out and run them.
// Settings at the top apply to every host; a host may override each of them.
type Inventory struct {
	// Name names the ensemble in messages, and wherever a path says {ensemble}.
	// Letters, digits, '.', '_' and '-'. Default: zookeeper.
	Name string `yaml:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$"`

	Settings `yaml:",inline"`

	// Hosts lists the servers of the ensemble, in the order in which ids left out are given.
	// Several entries may name the same address with different ports and folders.
	Hosts []Host `yaml:"hosts,omitempty" jsonschema:"minItems=1"`

	// Warnings are oddities that do not stop the inventory from being used.
	Warnings []Problem `yaml:"-"`

	places *places
	home   string
}

// Host is one server of the ensemble.
type Host struct {
	// Name is how this server is called in tables, messages and on the command line; unique.
	// Letters, digits, '.', '_' and '-'. Default: the address.
	Name string `yaml:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$"`

	// Address is the host name or IP address at which the other servers reach this one;
	// it stands in every zoo.cfg. Also where SSH connects, unless ssh.address differs.
	Address string `yaml:"address,omitempty"`

	// ClientAddress is the host name or IP address that clients and zkctl status use,
	// when it is not the address. (To bind the client port to one address,
	// set clientPortAddress under config.)
	ClientAddress string `yaml:"clientAddress,omitempty"`

	// ID is the server's number in the ensemble, kept in its myid file: 1 to 255, unique.
	// Left out, it is what the host already has, else the smallest free number.
	ID int `yaml:"id,omitempty" jsonschema:"minimum=1,maximum=255"`

	// Role is participant (votes) or observer (serves reads, does not vote). Default: participant.
	Role Role `yaml:"role,omitempty" jsonschema:"enum=participant,enum=observer"`

	Settings `yaml:",inline"`
}

// Settings are what can be said once for the ensemble and again for a host.
type Settings struct {
	// Connection is ssh, or local for servers on this very machine (no SSH, no root needed).
	// Default: ssh.
	Connection Connection `yaml:"connection,omitempty" jsonschema:"enum=ssh,enum=local"`

	// SSH says how to log in to the hosts.
	SSH SSH `yaml:"ssh,omitempty"`

	// Paths says where files live on the hosts.
	Paths Paths `yaml:"paths,omitempty"`

	// Ports are the TCP ports of a server.
	Ports Ports `yaml:"ports,omitempty"`

	// TLS says how zkctl's own commands ask servers over TLS. With any key of it they use the secure
	// client port. The servers' own certificates are set with ssl.* keys under config.
	TLS TLS `yaml:"tls,omitempty"`

	// Service says as whom and under what the server runs.
	Service Service `yaml:"service,omitempty"`

	// Config holds further zoo.cfg keys, written as they stand and in this order. A host's own
	// keys override the ensemble's. Keys that zkctl derives from other settings
	// (dataDir, clientPort, server.N and the like) are refused here.
	Config Config `yaml:"config,omitempty"`

	// Purge says when old snapshots and transaction logs are deleted.
	Purge Purge `yaml:"purge,omitempty"`
}

// SSH says how to log in to a host. What is left out comes from ~/.ssh/config, then from ssh's own defaults.
type SSH struct {
	// Address is where to connect when it is not the host's address, such as a management
	// network. Only under a host.
	Address string `yaml:"address,omitempty"`

	// User is the login name: root, or a user who may use sudo.
	User string `yaml:"user,omitempty"`

	// Port is the TCP port of sshd. Default: 22.
	Port int `yaml:"port,omitempty" jsonschema:"minimum=1,maximum=65535"`

	// IdentityFiles are private keys to offer besides those of a running ssh-agent. A path may
	// start with ~ or be relative to the inventory's folder.
	IdentityFiles Strings `yaml:"identityFiles,omitempty"`

	// Bastions are the hosts to jump through, first to last, each as user@host:port or with
	// keys of its own.
	Bastions Bastions `yaml:"bastions,omitempty"`

	// KnownHosts are the files of trusted host keys. A path may start with ~ or be relative to
	// the inventory's folder. Default: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.
	KnownHosts Strings `yaml:"knownHosts,omitempty"`

	// Sudo is true to always use sudo, false to never use it. Default: sudo unless the login
	// is root.
	Sudo *bool `yaml:"sudo,omitempty"`

	// ConnectTimeout bounds connecting and logging in, such as 10s. Default: 10s.
	ConnectTimeout Duration `yaml:"connectTimeout,omitempty"`
}

// Bastion is a host that SSH connections are made through.
type Bastion struct {
	// Address is its host name or IP address.
	Address string `yaml:"address"`

	// User is the login name there. Default: as for the host behind it.
	User string `yaml:"user,omitempty"`

	// Port is the TCP port of its sshd. Default: 22.
	Port int `yaml:"port,omitempty" jsonschema:"minimum=1,maximum=65535"`

	// IdentityFiles are the private keys to offer there. Default: as for the host behind it.
	IdentityFiles Strings `yaml:"identityFiles,omitempty"`
}

// Paths says where files live on a host. Each is absolute; with connection: local it may
// also start with ~ or be relative to the inventory's folder. {name} stands for the
// host's name and {ensemble} for the ensemble's, so that servers can share a machine.
type Paths struct {
	// BaseDir puts everything that is not set by itself below one folder:
	// bin/zkctl, conf, zkdata, zkdatalog and log. A host's baseDir counts more than the
	// ensemble's single paths.
	BaseDir string `yaml:"baseDir,omitempty"`

	// Binary is the zkctl executable. Default: /usr/local/bin/zkctl.
	Binary string `yaml:"binary,omitempty"`

	// ConfDir holds zoo.cfg. Default: /etc/zkctl.
	ConfDir string `yaml:"confDir,omitempty"`

	// DataDir holds snapshots and myid. Default: /var/lib/zkctl/zkdata.
	DataDir string `yaml:"dataDir,omitempty"`

	// DataLogDir holds the transaction log; best on a disk of its own. Default: /var/lib/zkctl/zkdatalog.
	DataLogDir string `yaml:"dataLogDir,omitempty"`

	// LogDir holds the server's messages. Default: /var/log/zkctl.
	LogDir string `yaml:"logDir,omitempty"`
}

// Ports are the TCP ports of a server; they differ.
type Ports struct {
	// Client is the port clients connect to without TLS. Default: 2181.
	Client int `yaml:"client,omitempty" jsonschema:"minimum=1,maximum=65535"`

	// SecureClient is the port clients connect to with TLS (secureClientPort in zoo.cfg). The
	// server's certificate is set with ssl.keyStore.location and the like under config.
	// Default: none.
	SecureClient int `yaml:"secureClient,omitempty" jsonschema:"minimum=1,maximum=65535"`

	// SecureOnly is true to leave the port without TLS out. Default: false.
	SecureOnly *bool `yaml:"secureOnly,omitempty"`

	// Quorum is the port followers reach the leader at. Default: 2888.
	Quorum int `yaml:"quorum,omitempty" jsonschema:"minimum=1,maximum=65535"`

	// Election is the port leader election uses. Default: 3888.
	Election int `yaml:"election,omitempty" jsonschema:"minimum=1,maximum=65535"`
}

// TLS says how zkctl's own commands ask servers over TLS. The files are PEM and lie on the
// machine that zkctl runs on; a path may start with ~ or be relative to the inventory's folder.
type TLS struct {
	// CA holds the authorities that sign the servers' certificates. Default: those of the system.
	CA string `yaml:"ca,omitempty"`

	// Cert is the certificate to show to servers that want one (ssl.clientAuth); it may hold the key too.
	Cert string `yaml:"cert,omitempty"`

	// Key is the private key of the certificate.
	Key string `yaml:"key,omitempty"`

	// KeyPasswordFile is a file with the password of the key, when it has one.
	KeyPasswordFile string `yaml:"keyPasswordFile,omitempty"`

	// ServerName is looked for in servers' certificates. Default: the address of the server asked.
	ServerName string `yaml:"serverName,omitempty"`

	// InsecureSkipVerify is true to believe any server. Default: false.
	InsecureSkipVerify *bool `yaml:"insecureSkipVerify,omitempty"`
}

// Service says as whom and under what a server runs.
type Service struct {
	// User is the account the server runs as; it is created when missing.
	// Default: zookeeper, or with connection: local whoever runs zkctl.
	User string `yaml:"user,omitempty" jsonschema:"pattern=^[a-z_][a-z0-9_-]*$"`

	// Group is the account's group. Default: the group named like the user.
	Group string `yaml:"group,omitempty" jsonschema:"pattern=^[a-z_][a-z0-9_-]*$"`

	// Name names the systemd unit, the boot hook and the purge schedule; {name} and {ensemble}
	// may be used. Unique on a machine. Default: zkctl-{name}.
	Name string `yaml:"name,omitempty"`

	// Manager is systemd, builtin (zkctl's own daemon with a boot hook), or auto for systemd
	// where it runs. Default: auto, or builtin with connection: local.
	Manager Manager `yaml:"manager,omitempty" jsonschema:"enum=auto,enum=systemd,enum=builtin"`

	// AtBoot starts the server when the machine boots. Default: true, or false with connection: local.
	AtBoot *bool `yaml:"atBoot,omitempty"`

	// Profile writes /etc/profile.d/zkctl.sh, so that every user finds zkctl and its
	// configuration. Default: true, or false with connection: local.
	Profile *bool `yaml:"profile,omitempty"`

	// MaxOpenFiles is the limit of open files (LimitNOFILE). Default: 65536.
	MaxOpenFiles int `yaml:"maxOpenFiles,omitempty" jsonschema:"minimum=1024,maximum=1048576"`
}

// Purge says when old snapshots and transaction logs are deleted.
type Purge struct {
	// Enabled is false to let files pile up, or to leave purging to autopurge.* keys under config.
	// Default: true, or false with connection: local.
	Enabled *bool `yaml:"enabled,omitempty"`

	// Keep is how many valid snapshots stay, with the log that goes with them; at least 3. Default: 3.
	Keep int `yaml:"keep,omitempty" jsonschema:"minimum=3"`

	// Schedule is hourly, daily, weekly, a time of day such as "03:30", a number of hours such as
	// 6h, or a systemd calendar expression such as "Mon..Fri 03:30" or "*-*-01 04:00". Default: daily.
	Schedule Schedule `yaml:"schedule,omitempty"`

	// RandomDelay spreads the hosts' runs over this long, such as 10m (systemd only). Default: 10m.
	RandomDelay Duration `yaml:"randomDelay,omitempty"`
}

// Role is what a server does in the ensemble.
type Role string

// The roles of a server.
const (
	Participant Role = "participant" // votes
	Observer    Role = "observer"    // serves, does not vote
)

// Connection is how zkctl reaches a host.
type Connection string

// The ways to reach a host.
const (
	ConnectSSH   Connection = "ssh"   // over SSH
	ConnectLocal Connection = "local" // it is this machine
)

// Manager is what keeps a server running.
type Manager string

// The service managers.
const (
	ManagerAuto    Manager = "auto"    // systemd where it is process 1, else builtin
	ManagerSystemd Manager = "systemd" // a systemd unit
	ManagerBuiltin Manager = "builtin" // zkctl's daemon, with a boot hook
)

// Strings is a list of texts; in the file one text may stand for a list of one.
type Strings []string

// Bastions is a list of jump hosts; in the file one may stand for a list of one.
type Bastions []Bastion

// Duration is a length of time, in the file written like 1m30s or 10s.
type Duration time.Duration

// Setting is one key of zoo.cfg with its value, both as they are written there.
type Setting struct{ Key, Value string }

// Config is a list of zoo.cfg settings in their order; no key appears twice.
type Config []Setting

// Get returns the value of key, and whether it is set.
func (c Config) Get(key string) (string, bool) {
	for _, s := range c {
		if s.Key == key {
			return s.Value, true
		}
	}
	return "", false
}

// With returns c with the settings of over laid upon it: a key both have keeps its place
// in c and takes the value of over; the others follow. c itself is not changed.
func (c Config) With(over Config) Config {
	out := append(Config(nil), c...)
next:
	for _, s := range over {
		for i := range out {
			if out[i].Key == s.Key {
				out[i].Value = s.Value
				continue next
			}
		}
		out = append(out, s)
	}
	return out
}
