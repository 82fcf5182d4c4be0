package dirstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/holdfast-web/holdfast/internal/store"
)

// List implements store.Driver. It keeps the names of one directory per level in memory.
// Files whose names are not keys are skipped.
func (d *Driver) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		w := walk{ctx: ctx, driver: d, prefix: prefix, after: after, yield: yield}
		w.dir("")
	}
}

// walk is one run through the tree, in byte order of the keys.
type walk struct {
	ctx           context.Context // of the one List that made it
	driver        *Driver
	prefix, after string
	yield         func(store.Info, error) bool
}

// dir yields the keys in the directory dir, "" or a name and a slash. It reports whether
// to continue.
func (w *walk) dir(dir string) bool {
	if err := w.ctx.Err(); err != nil {
		return w.fail(dir, err)
	}
	names, err := await(w.ctx, w.driver, place{"list", dir}, stall,
		func(context.Context, func()) ([]string, error) { return w.driver.names(dir) }, nothing)
	if err != nil {
		return w.fail(dir, err)
	}
	for _, name := range names {
		if name[len(name)-1] == '/' {
			if w.wants(name) && !w.dir(name) {
				return false
			}
		} else if !w.file(name) {
			return false
		}
	}
	return true
}

// names returns the contents of dir, directories with a trailing slash, so that the order
// of names is that of the keys below them.
func (d *Driver) names(dir string) ([]string, error) {
	entries, err := d.fsys.ReadDir(cmp.Or(strings.TrimSuffix(dir, "/"), "."))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := dir + e.Name()
		switch {
		case store.CheckKey(name) != nil:
		case e.IsDir():
			names = append(names, name+"/")
		case e.Type().IsRegular():
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// wants reports whether keys in the directory dir may have the prefix and follow after.
func (w *walk) wants(dir string) bool {
	if !strings.HasPrefix(dir, w.prefix) && !strings.HasPrefix(w.prefix, dir) {
		return false
	}
	return dir > w.after || strings.HasPrefix(w.after, dir)
}

func (w *walk) file(key string) bool {
	if key <= w.after || !strings.HasPrefix(key, w.prefix) {
		return true
	}
	if err := w.ctx.Err(); err != nil {
		return w.fail(key, err)
	}
	info, err := await(w.ctx, w.driver, place{"list", key}, stall,
		func(context.Context, func()) (fs.FileInfo, error) { return w.driver.stat(key) }, nothing)
	switch {
	case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
		return true
	case err != nil:
		return w.fail(key, err)
	}
	return w.yield(store.Info{Key: key, Size: info.Size(), Created: info.ModTime()}, nil)
}

func (w *walk) fail(name string, err error) bool {
	if w.ctx.Err() != nil {
		err = fmt.Errorf("list %s: %w", name, err)
	} else {
		err = w.driver.fail("list", name, err)
	}
	w.yield(store.Info{}, err)
	return false
}
