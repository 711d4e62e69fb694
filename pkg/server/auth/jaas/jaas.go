// Package jaas reads login configurations of Java (JAAS), in which ZooKeeper
// keeps the users and passwords of SASL:
//
//	Server {
//	    org.apache.zookeeper.server.auth.DigestLoginModule required
//	    user_super="adminsecret"
//	    user_bob="bobsecret";
//	};
//	QuorumLearner {
//	    org.apache.zookeeper.server.auth.DigestLoginModule required
//	    username="learner"
//	    password="learnersecret";
//	};
//
// A section is a name and its modules in braces; a module is a class, a flag
// and options up to a semicolon. What is not a letter, digit or one of $_-*. has
// to stand in quotes. Comments are those of Java.
//
// Source: sun.security.provider.ConfigFile and java.io.StreamTokenizer of the
// JDK; DigestLoginModule.java and ServerCnxnFactory.java (getDigestMd5Credentials).
package jaas

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// A File is a login configuration.
type File struct {
	// Name is where it was read from.
	Name string

	sections map[string]Section
}

// A Section is what one login context is made of, in order.
type Section struct {
	// Name is the login context's.
	Name string
	// Modules are what it logs in with; there may be none.
	Modules []Module

	file string
}

// A Module is one way to log in.
type Module struct {
	// Class is the Java class, Flag required, requisite, sufficient or optional,
	// in lower case.
	Class, Flag string
	// Options are in the order of the file; of a key that stands twice the last
	// one counts.
	Options []Option
}

// An Option is key=value at a place in the file; Line and Column count from 1.
type Option struct {
	Key, Value   string
	Line, Column int
}

// Load reads the file that the Java property java.security.auth.login.config
// names: a path or a file: URL, perhaps with another equals sign in front.
func Load(location string) (*File, error) {
	path := strings.TrimPrefix(location, "=")
	if strings.HasPrefix(path, "file:") {
		u, err := url.Parse(path)
		if err != nil || u.Path == "" {
			return nil, fmt.Errorf("java.security.auth.login.config=%s is not the URL of a file: write the path", location)
		}
		path = u.Path
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("login configuration (java.security.auth.login.config): %w", err)
	}
	return Parse(path, text)
}

// Section finds a login context by name.
func (f *File) Section(name string) (Section, bool) {
	s, ok := f.sections[name]
	return s, ok
}

// Names are the section's names that are there, sorted.
func (f *File) Names() []string { return sortedKeys(f.sections) }

// userPrefix marks the options that are users (ServerCnxnFactory.java).
const userPrefix = "user_"

// Users are the users and passwords that a server's section lists.
func (s Section) Users() (map[string]string, error) {
	users := make(map[string]string)
	for _, m := range s.Modules {
		for _, o := range m.Options {
			user, ok := strings.CutPrefix(o.Key, userPrefix)
			if !ok {
				continue
			}
			if err := s.plain(o); err != nil {
				return nil, err
			}
			users[user] = o.Value
		}
	}
	return users, nil
}

// ErrNoLogin says that a section has no username and password.
var ErrNoLogin = errors.New("no username and password")

// Login is the user and password of a client's or learner's section. It fails
// with [ErrNoLogin] when there are none.
func (s Section) Login() (user, password string, err error) {
	var hasUser, hasPassword bool
	for _, m := range s.Modules {
		for _, o := range m.Options {
			switch o.Key {
			case "username":
				user, hasUser = o.Value, true
			case "password":
				password, hasPassword = o.Value, true
			default:
				continue
			}
			if err := s.plain(o); err != nil {
				return "", "", err
			}
		}
	}
	if !hasUser || !hasPassword {
		return "", "", fmt.Errorf("%s: section %s: %w", s.file, s.Name, ErrNoLogin)
	}
	return user, password, nil
}

// Kerberos tells whether a module of the section logs in with Kerberos.
func (s Section) Kerberos() bool {
	for _, m := range s.Modules {
		if strings.HasSuffix(m.Class, "Krb5LoginModule") {
			return true
		}
	}
	return false
}

// plain refuses values that Java would expand.
func (s Section) plain(o Option) error {
	if !strings.Contains(o.Value, "${") {
		return nil
	}
	return fmt.Errorf("%s:%d:%d: option %s holds ${, and Java's properties are not known here: write the value itself", s.file, o.Line, o.Column, o.Key)
}
