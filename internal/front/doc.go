// Package front is what a node turns to the network: its sockets, the servers on them
// with a deadline for every phase of a connection, who a client is, and the access log.
package front
