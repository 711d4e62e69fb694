// Package config reads zoo.cfg the way Apache ZooKeeper does and turns it into
// one typed [Config].
//
// A zoo.cfg is a Java properties file (java.util.Properties, ISO-8859-1). The
// keys of QuorumPeerConfig.java are parsed strictly; every other key is, in
// Apache, a Java system property with "zookeeper." put before it, and a bad
// value there is ignored by the feature that reads it. The same is true here,
// except that nothing is ignored silently: what has no effect is a [Warning],
// what would keep Apache from starting is a [Fault], and all of both are
// reported at once, with file, line and key.
//
// Where this package means to differ from Apache:
//
//   - jute.maxbuffer, readonlymode.enabled, znode.container.* and the JAAS file
//     work in zoo.cfg. Apache reads them only from the Java command line; where
//     that is handed in as a [Source], it wins for them.
//   - Two servers on the same host and port are refused; Apache finds out when
//     the second one cannot bind.
//   - A key that protects data and that this server does not honour is a fault,
//     because going on without it would expose what it protects.
//
// To read it: properties.go is the file syntax; settings.go and its neighbours
// settings_security.go and settings_limits.go are the table of keys, inert.go
// those without effect; servers.go is the ensemble, validate.go the rules
// between keys; flags.go and origin.go are what is set outside of the file, and
// explain.go tells where each value came from.
package config
