// Command fileserver serves a directory the way a Go program would, for comparisons
// with other servers: with package asset, or with http.FileServerFS.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-web/holdfast/asset"
)

func main() {
	kind := flag.String("kind", "asset", "asset or std")
	dir := flag.String("dir", ".", "the directory")
	listen := flag.String("listen", "127.0.0.1:0", "the address")
	flag.Parse()
	if err := run(*kind, *dir, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "fileserver:", err)
		os.Exit(1)
	}
}

func run(kind, dir, listen string) error {
	handler := http.FileServerFS(os.DirFS(dir))
	if kind == "asset" {
		assets, err := asset.Open(dir, asset.Options{})
		if err != nil {
			return err
		}
		defer assets.Close() //nolint:errcheck // the program ends
		handler = assets
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(l)
}
