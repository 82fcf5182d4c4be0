//go:build !version2

package main

import "embed"

// version is that of the program, and the directory with its pages and its front
// end. `go build -tags version2` makes the other one.
const version = "version-1"

//go:embed version-1/pages all:version-1/dist
var embedded embed.FS
