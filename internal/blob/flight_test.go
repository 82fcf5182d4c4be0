package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

type bytesFetcher []byte

func (f bytesFetcher) OpenObject(context.Context, holdfast.ObjectName, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f)), nil
}

// Moments between two locks, which tests do not hit by chance.
func TestMoments(t *testing.T) {
	for name, size := range map[string]int{"memory": 10, "spool": 10_000} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Repeat([]byte("x"), size)
			ref := Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: int64(size)}
			s, err := New(bytesFetcher(data), Options{Memory: 16 << 10, SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			c, f, err := s.join(ref)
			if c != nil || err != nil {
				t.Fatalf("join = %v, %v, want a flight", c, err)
			}
			<-f.done
			// The outcome arrived after the waiter decided to leave: its share in a spool
			// file must not be lost.
			left, err := s.leave(f, errors.New("gave up"))
			if err != nil {
				t.Fatalf("leave = %v, want the content", err)
			}
			// The outcome arrived between the check of the memory and the lock: nothing
			// is fetched again.
			joined, f, err := s.join(ref)
			if joined == nil || f != nil || err != nil {
				t.Fatalf("join = %v, %v, %v, want the content", joined, f, err)
			}
			if err := errors.Join(left.Close(), joined.Close(), s.Close()); err != nil {
				t.Error(err)
			}
			if stats := s.Stats(); stats.Fetches != 1 || stats.SpoolBytes != 0 {
				t.Errorf("Stats = %+v", stats)
			}
		})
	}
}

// A file that arrives too late stays in the cache, closed.
func TestDiscard(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 10_000)
	ref := Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: 10_000}
	s, err := New(bytesFetcher(data), Options{Memory: 16 << 10, SpoolDir: t.TempDir(), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o := s.remotes[0].fetch(t.Context(), ref, 0)
	if o.err != nil || o.file == nil || o.file.entry.users != 1 {
		t.Fatalf("ask = %+v", o)
	}
	o.discard()
	if o.file.entry.users != 0 {
		t.Errorf("%d users after discard", o.file.entry.users)
	}
	if _, err := o.file.file.Stat(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Stat after discard = %v", err)
	}
	c, err := s.Open(t.Context(), ref)
	if err != nil || s.Stats().Fetches != 1 {
		t.Errorf("Open = %v, %+v", err, s.Stats())
	}
	if err := errors.Join(c.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}
