package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/urls"
)

func (c *cli) manifestCommand() *cobra.Command {
	var t target
	var format string
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Print the files of a release for programs and templates",
		Long: `Prints the files of a release: the live one of --side, or --release.

  json       all files; what an application server needs to build its own tags
  html       the tags for a page that a server renders: the module scripts, preloads
             and style sheets that the release's index.html loads, with pinned
             URLs, integrity and crossorigin; the tag of the client helper,
             ~client.js, names the page's release
  importmap  a JSON import map: logical names of scripts to pinned URLs, and the
             integrity of each

JSON keys: app, release, manifest (digest), files: path, digest, integrity, size,
type, logical, fingerprinted, relative, url (left out for private source maps).`,
		Example: `  holdfast manifest
  holdfast manifest --format html --origin https://cdn.example.com
  holdfast manifest --format importmap --app shop --release 2024-05-17.1`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), existing, func(b *backends) error {
				l, info, err := b.links(cmd.Context(), t)
				if err != nil {
					return err
				}
				if c.ui.wantsJSON && format != "json" {
					return usage("--json goes with --format json, not with --format %s", format)
				}
				return c.printManifest(cmd.Context(), b, l, &info, format)
			})
		},
	}
	choiceFlag(cmd.Flags(), &format, "format", "the form of the output", "json", "html", "importmap")
	t.flags(cmd.Flags())
	jsonFlag(cmd.Flags())
	return cmd
}

func (c *cli) printManifest(ctx context.Context, b *backends, l *urls.Links, info *registry.ReleaseInfo, format string) error {
	switch format {
	case "html":
		tags, err := c.pageTags(ctx, b, l, info)
		if err != nil {
			return err
		}
		for _, tag := range tags {
			c.ui.say("%s", tag.HTML)
		}
		return nil
	case "importmap":
		text, err := json.MarshalIndent(l.ImportMap(), "", "  ") // escapes < for use in a script element
		if err != nil {
			return fmt.Errorf("write import map: %w", err)
		}
		c.ui.say("%s", text)
		return nil
	}
	c.ui.document = listing(l, info) // --format json is the default
	return nil
}

type manifestListing struct {
	App      holdfast.AppName   `json:"app"`
	Release  holdfast.ReleaseID `json:"release"`
	Manifest holdfast.Digest    `json:"manifest"`
	Files    []fileListing      `json:"files"`
}

type fileListing struct {
	Path          string          `json:"path"`
	Digest        holdfast.Digest `json:"digest"`
	Integrity     string          `json:"integrity"`
	Size          int64           `json:"size"`
	Type          string          `json:"type"`
	Logical       string          `json:"logical"`
	Fingerprinted bool            `json:"fingerprinted"`
	Relative      bool            `json:"relative"`
	URL           string          `json:"url,omitempty"`
}

func listing(l *urls.Links, info *registry.ReleaseInfo) manifestListing {
	list := manifestListing{info.App, info.ID, info.Manifest, []fileListing{}}
	for i := range l.Manifest().Files() {
		f := &l.Manifest().Files()[i]
		entry := fileListing{f.Path, f.Digest, urls.Integrity(f.Digest), f.Size, f.MediaType, f.Logical, f.Fingerprinted(), f.Relative, ""}
		if l.Served(f) {
			entry.URL = l.To(f, urls.Pinned)
		}
		list.Files = append(list.Files, entry)
	}
	return list
}

// pageTags builds the tags of a page from the release's index.html.
func (c *cli) pageTags(ctx context.Context, b *backends, l *urls.Links, info *registry.ReleaseInfo) ([]urls.Tag, error) {
	page, ok := l.Manifest().Lookup("index.html")
	if !ok {
		return nil, hinted(fmt.Errorf("release %s of app %s has no index.html, from which the tags are taken", info.ID, info.App),
			"use --format json and choose the files yourself")
	}
	text, err := b.read(ctx, info, page)
	if err != nil {
		return nil, err
	}
	tags := l.Tags(text)
	switch {
	case len(tags) > 0:
	case urls.Loads(text):
		return nil, hinted(fmt.Errorf("index.html of release %s of app %s loads nothing from the release", info.ID, info.App),
			"if the build was made for another mount path than the app's, build it again, or move the app: holdfast app set %s mount=PATH", info.App)
	default:
		c.ui.note("index.html of release %s loads no script and no style sheet", info.ID)
	}
	return tags, nil
}

// read returns the bytes of a file, verified.
func (b *backends) read(ctx context.Context, info *registry.ReleaseInfo, f *holdfast.File) (text []byte, err error) {
	inv, err := b.store.Inventory(ctx, info.Inventory)
	if err != nil {
		return nil, err
	}
	objects := inv.Of(f.Digest)
	if len(objects) == 0 || objects[0].Coding != holdfast.Identity {
		return nil, fmt.Errorf("%w: the inventory of release %s lacks %s", holdfast.ErrCorrupt, info.ID, f.Path)
	}
	r, err := b.store.OpenObject(ctx, objects[0].Name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if text, err = io.ReadAll(io.LimitReader(r, f.Size+1)); err != nil {
		return nil, fmt.Errorf("read %s of release %s: %w", f.Path, info.ID, err)
	}
	if holdfast.DigestOf(text) != f.Digest {
		return nil, fmt.Errorf("read %s of release %s: %w: the stored bytes have another digest", f.Path, info.ID, holdfast.ErrCorrupt)
	}
	return text, nil
}
