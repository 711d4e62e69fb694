package main

import (
	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install"
)

// surveyOf is what a run over the hosts found, in the form that status shows.
func surveyOf(servers []inventory.Server, e fourletter.Ensemble) *survey {
	s := &survey{name: servers[0].Ensemble, Ensemble: e}
	for i := range servers {
		s.targets = append(s.targets, target{name: servers[i].Name, address: install.ClientEndpoint(servers[i]), server: &servers[i]})
		s.ids = append(s.ids, servers[i].ID)
	}
	return s
}
