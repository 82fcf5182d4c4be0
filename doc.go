// Package holdfast is the vocabulary of self-hosted skew protection: digests,
// manifests, inventories, releases, and the names that bind them.
//
// Everything here is a value. Nothing in this package does I/O, and it imports
// the standard library only, so that every other package can share its words.
//
// A build is described by a [Manifest], the canonical list of its files; the
// digest of the manifest's text is the identity of the build. An [Inventory]
// says under which object names the bytes of those files lie in a store. A
// [Release] binds a [ReleaseID] permanently to one manifest and one inventory.
//
// Every Parse function is the inverse of the String (or Bytes) method of the
// type it returns, and accepts nothing else: two texts that parse to equal
// values are equal texts.
package holdfast
