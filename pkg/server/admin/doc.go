// Package admin is the AdminServer: HTTP with commands that answer in JSON, and
// the metrics in Prometheus' text form. It knows the outside of a command, its
// names, status codes, rights and limits, and the layout of its answer; what
// the answers say is handed in.
//
// Names, fields, layout and status codes are those of Apache ZooKeeper 3.9.
//
// Source: JettyAdminServer.java, Commands.java, JsonOutputter.java,
// PrometheusMetricsProvider.java.
package admin
