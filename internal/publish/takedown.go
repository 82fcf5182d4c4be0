package publish

import (
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// refused returns an error that wraps holdfast.ErrTakenDown if bytes of the build were
// taken down. Repairing a release that has such bytes goes on without them.
func (p *publication) refused(down *holdfast.Takedowns) error {
	if p.lenient {
		return nil
	}
	return Refused(p.build.Manifest, down)
}

// Refused returns an error that wraps holdfast.ErrTakenDown, and names the files, if some
// of a manifest must not be published.
func Refused(m *holdfast.Manifest, down *holdfast.Takedowns) error {
	var files []*holdfast.File
	for i := range m.Files() {
		if f := &m.Files()[i]; down.Refuses(f.Digest) {
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the bytes of %s must not be published again; take them out of the build", holdfast.ErrTakenDown,
		listed(files, func(f *holdfast.File) string { return f.Path + " (" + f.Digest.String() + ")" }))
}

// alive checks that no object of the release is dead: one stored before its bytes were
// taken down, and allowed again, may be deleted.
func (p *publication) alive(now registry.Sweep) error {
	if err := p.refused(now.Down); err != nil {
		return err
	}
	if p.lenient || !slices.ContainsFunc(p.named, func(o holdfast.Object) bool { return now.Down.Kills(o.Name) }) {
		return nil
	}
	for blob, objects := range p.made {
		if slices.ContainsFunc(objects, func(o holdfast.Object) bool { return now.Down.Kills(o.Name) }) {
			delete(p.made, blob)
		}
	}
	return errSwept
}

// dead reports whether a release that is mended has to stay without a blob: its bytes
// are refused, or there is no build to have them from since they were allowed again.
func (p *publication) dead(fs forms) bool {
	return p.lenient && slices.ContainsFunc(fs, func(f form) bool {
		return p.sweep.Down.Kills(f.Name) && (p.build.from != nil || p.sweep.Down.Refuses(f.Digest))
	})
}
