// Package asset serves the built files of a web application from a Go program, so
// that pages never miss theirs, whatever is deployed meanwhile.
//
// A page of one release needs the scripts and style sheets of that release, for as
// long as it is open. So every file has a URL that names its release, and that
// can never mean other bytes:
//
//	/@RELEASE/PATH           Pinned: that release's file
//	/@RELEASE/~DIGEST/PATH   Full: the URL proves the bytes as well
//	/~DIGEST/PATH            Content: one URL for all releases that have the file
//	/PATH                    Plain: what is live
//
// Assets answers all four, as the program holdfast does: with strong entity tags,
// conditions, ranges, encoded forms (br, zstd, gzip), headers for caches and for
// other origins, and no failure that can be cached.
//
// # A build in the program
//
// New takes any fs.FS, such as an embed.FS; Open takes a directory:
//
//	//go:embed all:dist
//	var embedded embed.FS
//
//	dist, _ := fs.Sub(embedded, "dist")
//	assets, err := asset.New(dist, asset.Options{})
//
// The ID of the release is made from the digest of the build: all processes with
// the same build give the same URLs, answer alike to the byte of their headers,
// and share what browsers and CDNs have cached. A process knows its own build
// only: while an update rolls through several processes, route by the release in
// the path, or join a cluster.
//
// # Pages
//
// A program that makes its pages itself puts Assets before its own handler:
//
//	http.ListenAndServe(":8080", assets.Handler(mux))
//
// Handler answers for files and for the URLs above, and passes on everything else,
// the plain paths of the build's own HTML among it. Without pages of its own, a
// program uses Assets itself as the handler.
//
// Release gives one release, with all that a page needs: URL, Integrity, Tags (the
// elements that load an entry, with what it imports), ImportMap, and Preload (Link
// fields, and 103 Early Hints). Give it to the template as data: then all of a
// page is of one release. Funcs has the same as functions for html/template. Names
// are paths in the build, logical names with "*" for the hash
// ("assets/app-*.js"), and for Tags also sources that Vite's manifest knows.
//
// Nothing may rewrite the path before Assets sees it: Options.Mount takes the place
// of http.StripPrefix.
//
// A page under a Content-Security-Policy takes Release.WithNonce.
//
// # A cluster
//
// Join makes the program a node of a cluster: it serves the files of all releases,
// "holdfast status" lists it, "holdfast activate" waits for it, and its requests count.
// With Cluster.Build it brings a build of its own: no publish is needed, pages refer to
// that build, and all other nodes serve its files as well, also when the program has
// gone. Without one, it serves what "holdfast publish" published, and pages refer to the
// release that "holdfast activate" made live.
//
// Files come from a store that all nodes share, Cluster.Store. Or there is none: then
// each program has its own below Cluster.DataDir, nodes fetch from each other
// (Cluster.Peers, with a secret that all share), and each build is copied to two nodes
// besides those that brought it, so that a program may die at any time. Three machines
// with etcd or ZooKeeper need nothing else.
//
// A program links the clients of those services only that it imports: packages
// asset/zookeeper, asset/etcd and asset/s3, or asset/local for SQLite and a
// directory. With Cluster.DataDir it starts while registry and store are out of
// reach. Ready and Status are for its own readiness check; Close, after the server was
// shut down, takes it off the list of nodes.
//
// # Development
//
// With Options.Dev the build is read again for each request, no answer may be
// stored or is a 304, and the helpers give plain URLs without integrity. The
// command "holdfast serve --dev" is the same for programs of other languages.
package asset
