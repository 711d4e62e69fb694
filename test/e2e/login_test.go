package e2e

import (
	"testing"
)

func logins(t *testing.T, w *world)         {}
func sudoLogin(t *testing.T, w *world)      {}
func throughBastion(t *testing.T, w *world) {}
func hostKeys(t *testing.T, w *world)       {}
