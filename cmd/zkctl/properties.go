package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
)

// defineFlag sets a Java system property, as it does for a JVM.
const defineFlag = "D"

// autocreateOff is set where zkServer.sh is not to make an empty database.
const autocreateOff = "ZOO_DATADIR_AUTOCREATE_DISABLE"

// flagVariables hold words for the JVM of a server; what the later sets wins, as
// zkServer.sh puts them on its command line.
func flagVariables() []string { return []string{"SERVER_JVMFLAGS", "JVMFLAGS"} }

// settingFlags are the flags that say how a server is configured.
func (o *serverOptions) settingFlags() []cli.Flag {
	return append(o.configFlags(), &cli.StringSliceFlag{
		Name: defineFlag, Destination: &o.defines,
		Usage: "set what Apache ZooKeeper takes as a Java system property: `NAME=VALUE`, with or without \"zookeeper.\" before the name; may be repeated (-DNAME=VALUE is understood too)",
	})
}

// sources gathers the Java system properties from the environment and the
// command line. With an error there are still those that could be read.
func (o *serverOptions) sources() ([]config.Source, error) {
	var out []config.Source
	var failed error
	if o.env.getenv(autocreateOff) != "" {
		out = append(out, config.Source{Name: autocreateOff, Java: true, Properties: []config.Property{{Key: "zookeeper.datadir.autocreate", Value: "false"}}})
	}
	for _, name := range flagVariables() {
		props, err := config.ParseJVMFlags(o.env.getenv(name))
		if err != nil {
			failed = &problem.Problem{Op: "read " + name, Err: err, Do: "mend the quotation marks in the environment variable " + name}
		}
		out = append(out, config.Source{Name: name, Java: true, Properties: props})
	}
	line := config.Source{Name: "-" + defineFlag}
	for _, d := range o.defines.Value() {
		p, err := config.ParseDefinition(d)
		if err != nil {
			return out, usageError{fmt.Errorf("-%s %w", defineFlag, err)}
		}
		line.Properties = append(line.Properties, p)
	}
	return append(out, line), failed
}

// unread tells of the shell files beside zoo.cfg that zkServer.sh sources, when
// they set properties: this program does not run them.
func (o *serverOptions) unread() []config.Warning {
	var out []config.Warning
	for _, name := range []string{"zookeeper-env.sh", "java.env"} {
		path := filepath.Join(filepath.Dir(o.config), name)
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "-D") {
			continue
		}
		out = append(out, config.Warning{File: path, Problem: "is not run, so the Java properties in it have no effect",
			Do: "put them into " + o.config + " or into SERVER_JVMFLAGS of the server's environment, then remove them there"})
	}
	return out
}

// environmentWords are assignments of the variables that configure the server,
// for a shell, each followed by a blank.
func (o *serverOptions) environmentWords() string {
	var b strings.Builder
	for _, name := range append([]string{autocreateOff}, flagVariables()...) {
		if value := o.env.getenv(name); value != "" {
			b.WriteString(name + "=" + shellWords([]string{value}) + " ")
		}
	}
	return b.String()
}
