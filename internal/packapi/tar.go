package packapi

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	maxFiles = 100_000
	maxBytes = 2 << 30 // of all files together
)

// unpack writes the files of a tar file below dir. What else a tar file can have (links,
// devices, owners, permissions) is refused or left out.
func unpack(dir string, body io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close() //nolint:errcheck // was only walked through
	files := tar.NewReader(body)
	left := int64(maxBytes)
	for n := 0; ; n++ {
		h, err := files.Next()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return fmt.Errorf("%w: the body is empty: send a tar file, or JSON {\"dir\": …} as application/json", holdfast.ErrInvalid)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: read tar file: %w", holdfast.ErrInvalid, err)
		case n >= maxFiles || h.Size > left:
			return fmt.Errorf("%w: a pack has at most %d files of %d bytes together", holdfast.ErrInvalid, maxFiles, int64(maxBytes))
		}
		left -= h.Size
		if err := unpackEntry(root, h, files); err != nil {
			return err
		}
	}
}

func unpackEntry(root *os.Root, h *tar.Header, body io.Reader) error {
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("%w: %s in the tar file is neither a file nor a directory", holdfast.ErrInvalid, h.Name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("%w: unpack %s: %w", holdfast.ErrInvalid, h.Name, err)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w: unpack %s: %w", holdfast.ErrInvalid, h.Name, err)
	}
	_, err = io.Copy(f, body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the tar file is cut off: %w", holdfast.ErrInvalid, err)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("unpack %s: %w", h.Name, err)
	}
	return nil
}
