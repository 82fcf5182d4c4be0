// Package front is the network side of a node: its sockets, the servers on them with a
// deadline for every phase of a connection, client addresses, and the access log.
package front
