// Package overload attacks a server of its own through the client port, in each
// way in which a client can be a burden, and looks at two things: what memory
// the process takes, and that another client is served meanwhile.
//
// Each attack does a fixed amount of work; nothing is asserted of how long
// anything takes.
package overload
