package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// target says which release's files are linked to, and below which origin.
type target struct {
	app     holdfast.AppName
	side    holdfast.Side
	release holdfast.ReleaseID
	origin  string
}

func (t *target) flags(flags *pflag.FlagSet) {
	appFlag(flags, &t.app)
	sideFlag(flags, &t.side, "use the live release of this side")
	releaseFlag(flags, &t.release, "release", "use this release instead of the live one")
	flags.Var(&value[string]{&t.origin, urls.ParseOrigin, "URL", ""}, "origin", "put this before each URL, such as https://cdn.example.com")
}

// links reads the release that t names.
func (b *backends) links(ctx context.Context, t target) (*urls.Links, registry.ReleaseInfo, error) {
	state, err := b.app(ctx, t.app)
	if err != nil {
		return nil, registry.ReleaseInfo{}, err
	}
	info, err := b.liveOrNamed(ctx, state, t.side, t.release)
	if err != nil {
		return nil, info, err
	}
	if !info.State.Servable() {
		return nil, info, hinted(fmt.Errorf("release %s of app %s is %s: its URLs answer 410", info.ID, t.app, info.State),
			"holdfast activate %s brings a retired release back; one that is gone has to be published again", info.ID)
	}
	m, err := b.store.Manifest(ctx, info.Manifest)
	if err != nil {
		return nil, info, err
	}
	return urls.New(urls.Options{Origin: t.origin}, info.ID, &state.Settings, m), info, nil
}

func (c *cli) urlCommand() *cobra.Command {
	var t target
	var form string
	cmd := &cobra.Command{
		Use:   "url PATH",
		Short: "Print the URL of a file",
		Long: `Prints the URL of a file of a release, by the file's path in the build. The release
is the live one of --side, or --release. The forms:

  pinned   /@RELEASE/PATH          that release's file, whichever is live
  full     /@RELEASE/~DIGEST/PATH  like pinned, and the URL proves the bytes
  content  /~DIGEST/PATH           the same URL in every release with the same file
  plain    /PATH                   the live release's file

An app with the setting pinned=SHAPE has pinned URLs of that shape.

Files with relative references have no full and no content URL, because these
references would not resolve. Their pinned URL is safe.

JSON keys: app, release, path, form, url.`,
		Example: `  holdfast url assets/logo.svg
  holdfast url assets/logo.svg --form content --origin https://cdn.example.com
  holdfast url index.html --release 2024-05-17.1`,
		Args: exactly("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), existing, func(b *backends) error {
				l, info, err := b.links(cmd.Context(), t)
				if err != nil {
					return err
				}
				text, err := urlOf(l, strings.TrimPrefix(args[0], "/"), urls.Form(form), t.app)
				if err != nil {
					return fmt.Errorf("release %s of app %s: %w", info.ID, t.app, err)
				}
				c.ui.report(urlDoc{t.app, info.ID, strings.TrimPrefix(args[0], "/"), form, text})
				c.ui.say("%s", text)
				return nil
			})
		},
	}
	choiceFlag(cmd.Flags(), &form, "form", "the form of the URL", "pinned", "full", "content", "plain")
	t.flags(cmd.Flags())
	jsonFlag(cmd.Flags())
	return cmd
}

// urlDoc is the JSON output of url.
type urlDoc struct {
	App     holdfast.AppName   `json:"app"`
	Release holdfast.ReleaseID `json:"release"`
	Path    string             `json:"path"`
	Form    string             `json:"form"`
	URL     string             `json:"url"`
}

// urlOf returns the URL of the file at path in one of the forms.
func urlOf(l *urls.Links, path string, form urls.Form, app holdfast.AppName) (string, error) {
	f, ok := l.Manifest().Lookup(path)
	switch {
	case !ok:
		return "", hinted(missing("it has no file %s", path), "%sholdfast manifest lists its files", meant("", near(l, path)))
	case !l.Served(f):
		return "", hinted(fmt.Errorf("%s is a private source map: no URL leads to it", path), "holdfast app set %s sourcemaps=public serves them", app)
	case f.Relative && (form == urls.Full || form == urls.Content):
		return "", hinted(fmt.Errorf("%s has relative references to other files, which would not resolve from a %s URL", path, form), "use --form pinned")
	}
	return l.To(f, form), nil
}

// near returns files that path was probably meant to be: of a similar path, or
// of the same name without its hash, elsewhere.
func near(l *urls.Links, path string) []string {
	var paths []string
	for i := range l.Manifest().Files() {
		paths = append(paths, l.Manifest().Files()[i].Path)
	}
	return nearest(path, paths)
}
