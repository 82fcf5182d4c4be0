// Package assembly makes a node out of its parts, for every program that runs one:
// "holdfast serve" with flags, and package asset with options.
//
// A node reads from the Backends of its cluster: the registry, and the store that nodes
// share or else a LocalStore of its own. Misconfiguration is an error at once. An
// unreachable backend is opened later: a store always, a registry if the node has stored
// state. A node's LocalBuild becomes a release that it owns. Open adds memory, caches,
// deltas, peers and copies and returns the Node.
package assembly
