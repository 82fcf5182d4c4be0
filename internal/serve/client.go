package serve

import (
	_ "embed" // for the client helper

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// clientScript is the client helper: docs/client.md says what it does, and
// relies on.
//
//go:embed client.js
var clientScript string

// clientEntry is the helper as a file of an app. It is too small to be worth a
// coding.
func clientEntry() *live.Entry {
	digest, size := holdfast.DigestOf([]byte(clientScript)), int64(len(clientScript))
	return &live.Entry{
		Path: holdfast.ClientHelper, Digest: digest, Size: size, MediaType: "text/javascript; charset=utf-8",
		Variants: []live.Variant{{Coding: holdfast.Identity, Name: holdfast.ObjectName{Digest: digest}, Size: size}},
	}
}

// client answers with the client helper: as with any file, but its bytes are in
// the program and not in a store.
func (c *decider) client() {
	classes := appClassesOf(c.a)
	c.file(classes.clientEntry, &classes.client)
	if d := c.d; d.Length > 0 {
		d.Text = clientScript[d.Off : d.Off+d.Length]
		d.Ref, d.Off, d.Length = blob.Ref{}, 0, 0
	}
}
