// Package inventory reads the one YAML file a user writes for an ensemble,
// refuses what is wrong with it, and flattens it into one [Server] per entry.
//
// To read the package, follow a file's way through it:
//
//	types.go     the file's shape, key by key; the JSON schema takes its text from here
//	tree.go      YAML text -> a tree whose every node knows its file, line and column
//	env.go       ${NAME} and ${NAME:-default} in values
//	merge.go     several files -> one tree
//	decode.go    the tree -> [Inventory]; unknown keys, wrong types, values out of range
//	keys.go      which zoo.cfg keys exist and what they take
//	resolve.go   defaults, overrides, ids -> []Server; what two servers may not share
//	problem.go   how a fault is shown
//
// Every fault is found in one go and shown at its place:
//
//	hosts.yaml:12:5: unknown key "dataLogdir" under paths
//	   12 |     dataLogdir: /srv/zkdatalog
//	      |     ^ did you mean dataLogDir?
//
// The package reads files only where [Load] is told to, and never the
// environment: variables and the home folder are handed in with [Options].
// An [Inventory] may be read by several goroutines at once; nothing here starts one.
package inventory
