package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/packapi"
)

// tokenFile in the data directory has the token of the API for packs. Who can read it may
// add packs.
const tokenFile = "packs-token"

// packAPI returns the API on the admin listener through which programs add packs.
func (c *cli) packAPI() (*packapi.API, error) {
	path := filepath.Join(c.global.data, tokenFile)
	token, err := os.ReadFile(path) //nolint:gosec // in the data directory
	if errors.Is(err, fs.ErrNotExist) {
		token = []byte(rand.Text() + "\n")
		if err = os.MkdirAll(c.global.data, 0o755); err == nil { //nolint:gosec // as other commands make it
			err = os.WriteFile(path, token, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("token for packs: %w", err)
	}
	return packapi.New(strings.TrimSpace(string(token)), ""), nil
}

// packs adds packs to a node.
func (c *cli) packs(n *assembly.Node, config *assembly.Config, o serveOptions) *assembly.Packs {
	return &assembly.Packs{
		Node: n.Node, Backends: config.Backends, Own: config.LocalStore, Name: o.name,
		Address: cmp.Or(config.Node.Address, config.Node.Listen), Logger: config.Node.Logger,
	}
}
