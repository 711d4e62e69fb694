package install

import (
	"bytes"
	"context"
	"errors"

	"github.com/zkctl/zkctl/pkg/server/config"
)

// configuration reads each server's zoo.cfg as the server will.
func (i *inspector) configuration(context.Context) error {
	for _, v := range i.m.servers {
		text, err := i.s.zooCfg(v)
		if err != nil {
			return err
		}
		_, warnings, err := config.Parse(v.ConfigFile(), bytes.NewReader(text))
		var faults config.Faults
		if err != nil && !errors.As(err, &faults) {
			return err
		}
		for _, f := range faults {
			i.find(v.Name, Fail, "under config of the inventory: "+f.Do, "%s: %s", f.Key, f.Problem)
		}
		said := false
		for _, w := range warnings {
			if w.Key == "server" { // the inventory has warned of the number of servers
				continue
			}
			said = true
			i.find(v.Name, Warn, w.Do, "%s: %s", w.Key, w.Problem)
		}
		if len(faults) == 0 && !said {
			i.pass(v.Name, "the server takes its zoo.cfg")
		}
	}
	return nil
}
