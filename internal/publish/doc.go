// Package publish turns the output directory of a build tool into a release.
//
// Scan reads the directory once: it hashes the files, determines their media types, finds
// fingerprinted names and checks that referenced files exist. Publish encodes and stores
// what the store lacks and adds the release to the registry, in one order that never
// leaves a partial release visible:
//
//	Scan → Manifest → [pin pages] → lease → look up, encode, store objects → inventory → manifest → AddRelease
package publish
