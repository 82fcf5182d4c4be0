// Package publish turns a directory that a build tool wrote into a release.
//
// Scan reads the directory once: it hashes the files, names their media types,
// finds fingerprinted names and checks that what the files refer to is there.
// Publish encodes and stores what the store lacks and adds the release to the
// registry, in one order that never leaves anything torn:
//
//	Scan → Manifest → [pin pages] → lease → look up, encode, store objects → inventory → manifest → AddRelease
package publish
