// Package packapi is the local HTTP API of a node through which programs in any language
// add packs to it and remove them. It is on the node's admin listener, for programs on the
// same machine that can read the node's token.
//
//	GET    /packs               the packs that this node owns
//	PUT    /packs/APP/NAME      adds a pack, or replaces it: a tar file as the body, or
//	                            JSON {"dir": "/absolute/path"} of a directory on this machine;
//	                            ?identity= as of serve --identity, ?create=1 makes the app
//	DELETE /packs/APP/NAME      removes it
//
// Requests carry "Authorization: Bearer TOKEN". Answers are JSON, failures
// {"error": "…"}: 400 for what can never be right, 401, 404, 409 for an ID or an app that is
// taken, 503 while registry or store are out of reach.
package packapi

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// maxRequest bounds the JSON of a request, in bytes.
const maxRequest = 1 << 16

// Packs is what the API works with; *assembly.Packs is it.
type Packs interface {
	Add(ctx context.Context, n assembly.NewPack, links urls.Options) (*assembly.AddedPack, error)
	Remove(ctx context.Context, app holdfast.AppName, name holdfast.PackName) error
	List() []node.Pack
}

var _ Packs = (*assembly.Packs)(nil)

// API is the handler of a node that may be still to come.
type API struct {
	token, temp string
	packs       atomic.Pointer[Packs]
	mux         *http.ServeMux
}

// New returns the API. temp is a directory for what is unpacked; "" for the system's.
func New(token, temp string) *API {
	a := &API{token: token, temp: temp, mux: http.NewServeMux()}
	a.mux.HandleFunc("GET /packs", a.checked(a.list))
	a.mux.HandleFunc("PUT /packs/{app}/{name}", a.checked(a.put))
	a.mux.HandleFunc("DELETE /packs/{app}/{name}", a.checked(a.remove))
	return a
}

// Use has the API work with packs, once the node is there.
func (a *API) Use(p Packs) { a.packs.Store(&p) }

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// checked lets through who has the token, once the node is there.
func (a *API) checked(do func(p Packs, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		p := a.packs.Load()
		switch {
		case subtle.ConstantTimeCompare([]byte(given), []byte(a.token)) != 1:
			answer(w, http.StatusUnauthorized, failure{"send the header Authorization: Bearer TOKEN; the token is in the file packs-token in the node's data directory"})
		case p == nil:
			answer(w, http.StatusServiceUnavailable, failure{"the node is starting; try again"})
		default:
			v, err := do(*p, r)
			if err != nil {
				answer(w, statusOf(err), failure{err.Error()})
				return
			}
			answer(w, http.StatusOK, v)
		}
	}
}

type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func statusOf(err error) int {
	for _, s := range []struct {
		err  error
		code int
	}{
		{holdfast.ErrInvalid, http.StatusBadRequest},
		{holdfast.ErrNotFound, http.StatusNotFound},
		{holdfast.ErrTakenDown, http.StatusGone},
		{holdfast.ErrGone, http.StatusGone},
		{holdfast.ErrExists, http.StatusConflict},
		{holdfast.ErrConflict, http.StatusConflict},
		{holdfast.ErrUnavailable, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return http.StatusInternalServerError
}

func (a *API) list(p Packs, _ *http.Request) (any, error) {
	return struct {
		Packs []node.Pack `json:"packs"`
	}{p.List()}, nil
}

func (a *API) remove(p Packs, r *http.Request) (any, error) {
	app, name, err := named(r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, p.Remove(r.Context(), app, name)
}

func named(r *http.Request) (app holdfast.AppName, name holdfast.PackName, err error) {
	if app, err = holdfast.ParseAppName(r.PathValue("app")); err == nil {
		name, err = holdfast.ParsePackName(r.PathValue("name"))
	}
	return app, name, err
}

// added says where the files of a pack are.
type added struct {
	node.Pack
	URLs map[string]string `json:"urls"` // by path in the pack
}

func (a *API) put(p Packs, r *http.Request) (any, error) {
	n := assembly.NewPack{Create: r.FormValue("create") != ""}
	var err error
	if n.App, n.Name, err = named(r); err != nil {
		return nil, err
	}
	if n.Identity, err = assembly.ParseIdentity(cmp.Or(r.FormValue("identity"), assembly.ContentIdentity)); err != nil {
		return nil, err
	}
	dir, done, err := a.files(r)
	if err != nil {
		return nil, err
	}
	defer done()
	n.Scan = publish.Dir(dir).Scan
	pack, err := p.Add(r.Context(), n, urls.Options{})
	if err != nil {
		return nil, err
	}
	all := added{pack.Pack, make(map[string]string)}
	files := pack.Links.Manifest().Files()
	for i := range files {
		if f := &files[i]; pack.Links.Served(f) {
			all.URLs[f.Path] = pack.Links.Href(f)
		}
	}
	return all, nil
}

// files returns the directory that a request is about; done removes what was unpacked.
func (a *API) files(r *http.Request) (dir string, done func(), err error) {
	if kind := r.Header.Get("Content-Type"); strings.HasPrefix(kind, "application/json") {
		var body struct {
			Dir string `json:"dir"`
		}
		d := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
		d.DisallowUnknownFields()
		if err := d.Decode(&body); err != nil {
			return "", nil, fmt.Errorf("%w: read request: %w", holdfast.ErrInvalid, err)
		}
		if !filepath.IsAbs(body.Dir) {
			return "", nil, fmt.Errorf("%w: dir %q: want the absolute path of a directory on the node's machine", holdfast.ErrInvalid, body.Dir)
		}
		return body.Dir, func() {}, nil
	}
	if dir, err = os.MkdirTemp(a.temp, "pack-"); err != nil {
		return "", nil, fmt.Errorf("unpack: %w", err)
	}
	done = func() { _ = os.RemoveAll(dir) } // a leftover does no harm
	if err := unpack(dir, r.Body); err != nil {
		done()
		return "", nil, err
	}
	return dir, done, nil
}
