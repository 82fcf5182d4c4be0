package scrub

import (
	"cmp"
	"context"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/prune"
)

// orphans finds unreferenced items that block a prune: manifests that the registry does
// not know, and unreadable lists. Other unreferenced objects are not a problem: prune
// removes them.
func (s *scrubber) orphans(ctx context.Context) error {
	strange, err := prune.Strange(ctx, prune.Config{Registry: s.Registry, Store: s.Store, Floor: s.Floor})
	if err != nil {
		return err
	}
	state, err := s.Registry.Sweep(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, err := range strange {
		s.add(Problem{Kind: Dangling, What: manifest, Name: d.String(), Detail: err.Error()}, nil, nil)
	}
	for _, l := range state.Lists {
		if l.Empty() {
			continue // it need not exist
		}
		if _, err := s.Store.Condemned(ctx, l.List); err != nil && ctx.Err() == nil {
			s.add(Problem{Kind: kindOf(err), What: list, Name: l.List.String(), Detail: err.Error()}, nil, nil)
		}
	}
	return ctx.Err()
}

// surelySmaller is the size in bytes above which text almost always gets smaller when
// encoded.
const surelySmaller = 4 << 10

// unencoded counts the files with fewer encoded forms than a publish makes today. Only
// encoding can tell whether all forms pay; where one saves a quarter the others do.
func unencoded(m *holdfast.Manifest, inv *holdfast.Inventory) (u Unencoded) {
	for i := range m.Files() {
		f := &m.Files()[i]
		if f.Size < surelySmaller || f.Size > coding.MaxSize || !coding.Worthwhile(f.MediaType, f.Path) {
			continue
		}
		if forms := inv.Of(f.Digest); allForms(forms) || len(forms) > 1 && smallest(forms) > f.Size*3/4 {
			continue
		}
		if u.Files++; u.Example == "" {
			u.Example = f.Path
		}
	}
	return u
}

// allForms reports whether the forms that nearly always pay exist. Of br and zstd a
// publish keeps the smaller.
func allForms(forms []holdfast.Object) bool {
	has := func(c holdfast.Coding) bool {
		return slices.ContainsFunc(forms, func(o holdfast.Object) bool { return o.Coding == c })
	}
	return has(holdfast.Gzip) && (has(holdfast.Brotli) || has(holdfast.Zstd))
}

func smallest(forms []holdfast.Object) int64 {
	return slices.MinFunc(forms, func(a, b holdfast.Object) int { return cmp.Compare(a.Size, b.Size) }).Size
}
