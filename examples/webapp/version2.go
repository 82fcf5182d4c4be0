//go:build version2

package main

import "embed"

// version is that of the program, and the directory with its pages and its front
// end. `go build -tags version2` makes the other one.
const version = "version-2"

//go:embed version-2/pages all:version-2/dist
var embedded embed.FS
