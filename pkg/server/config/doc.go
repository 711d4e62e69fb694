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
//   - jute.maxbuffer, readonlymode.enabled and znode.container.* work in zoo.cfg.
//     Apache reads them only from the Java command line, which this server does
//     not have.
//   - Two servers on the same host and port are refused; Apache finds out when
//     the second one cannot bind.
//   - A key that protects data (TLS, SASL) and that this server cannot honour is
//     a fault, because going on without it would expose what it protects.
//
// To read it: properties.go is the file syntax, settings.go the table of keys,
// servers.go the ensemble, validate.go the rules between keys, myid.go a
// server's own number.
package config
