// Package assembly makes a node out of its parts, for every program that runs one:
// "holdfast serve" with flags, and package asset with options.
//
// A node reads from the Backends of its cluster: the registry, and the store that nodes
// share or else a LocalStore of its own. What is wrong about them is an error at once.
// What is out of reach is opened later: a store always, a registry if the node kept what
// it served. Where a node brings a LocalBuild, that becomes a release it owns. Open puts
// memory, caches, deltas, peers and copies around these and returns the Node.
package assembly
