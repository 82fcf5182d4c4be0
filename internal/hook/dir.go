package hook

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// Dir is a directory of hook definitions. For the hook NAME, the executable NAME is the
// command, or NAME.url contains the URL of the webhook and NAME.secret, if it exists, the
// secret for signing. It is read for each try.
type Dir struct{ Path string }

// definitionMost limits how much of a file is read.
const definitionMost = 16 << 10

// Find returns the definition of a hook: ErrNotFound if there is none, ErrInvalid if it
// is malformed.
func (d Dir) Find(name holdfast.HookName) (Action, error) {
	if d.Path == "" {
		return nil, fmt.Errorf("hook %s: %w: the node was started without a directory of hooks", name, holdfast.ErrNotFound)
	}
	path := filepath.Join(d.Path, name.String())
	info, err := os.Stat(path)
	isCommand := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for hook: %w", err)
	}
	target, isWebhook, err := readDefinition(path + ".url")
	switch {
	case err != nil:
		return nil, err
	case isCommand && isWebhook:
		return nil, fmt.Errorf("hook %s: %w: both %s and %s.url are there", name, holdfast.ErrInvalid, path, path)
	case isWebhook:
		return webhook(path, target)
	case !isCommand:
		return nil, fmt.Errorf("hook %s: %w: there is neither %s nor %s.url", name, holdfast.ErrNotFound, path, path)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return nil, fmt.Errorf("hook %s: %w: %s is no executable file", name, holdfast.ErrInvalid, path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("hook %s: %w", name, err)
	}
	return Command{abs}, nil
}

func webhook(path, target string) (Action, error) {
	secret, signed, err := readDefinition(path + ".secret")
	switch {
	case err != nil:
		return nil, err
	case signed && secret == "":
		return nil, fmt.Errorf("%s.secret: %w: it is empty; remove it to send unsigned", path, holdfast.ErrInvalid)
	}
	w, err := NewWebhook(target, secret)
	if err != nil {
		return nil, fmt.Errorf("%s.url: %w", path, err)
	}
	return w, nil
}

// readDefinition returns the content of a file; ok is false if there is none.
func readDefinition(path string) (text string, ok bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read hook: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, definitionMost))
	if err != nil {
		return "", false, fmt.Errorf("read hook: %w", err)
	}
	return strings.TrimSpace(string(b)), true, nil
}
