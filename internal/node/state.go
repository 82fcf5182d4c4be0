package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Files of a state directory. Its contents can be fetched again from registry and store,
// so an unreadable file counts as missing.
const (
	lockFile     = "lock"         // held while a node runs; names its process
	tableFile    = "table"        // a header line with the digest of the rest, which is JSON
	peersFile    = "peers"        // JSON: the known peers
	manifestDir  = "manifests/"   // texts by digest
	inventoryDir = "inventories/" // texts by digest
	pagesDir     = "pages/"       // texts by digest

	tableHeader = "holdfast table 1 "
)

const (
	// cleanAge keeps texts that nothing refers to: those of a table that is about
	// to come are among them.
	cleanAge = time.Hour
	// maxStateFile bounds how much of a file is read, in bytes.
	maxStateFile = 256 << 20
)

// state is a directory on a local disk in which a node stores everything it needs to
// serve without the registry and the store.
type state struct {
	path    string
	dir     *durable.Dir
	tree    *durable.Tree
	lock    *os.File
	log     *slog.Logger
	cleaned time.Time
}

// openState opens the directory, which is created if necessary, for this node alone.
func openState(path string, log *slog.Logger) (*state, error) {
	dir, err := durable.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	lock, err := lockState(path)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	s := &state{path: path, dir: dir, tree: durable.NewTree(dir), lock: lock, log: log}
	if _, err := s.tree.CleanTemp(cleanAge); err != nil {
		log.Warn("state directory not tidied", "directory", path, "error", err)
	}
	return s, nil
}

// lockState makes sure that no other node uses the directory. The system releases the
// lock with the process.
func lockState(dir string) (*os.File, error) {
	name := filepath.Join(dir, lockFile)
	f, err := durable.Lock(name, true)
	if errors.Is(err, durable.ErrLocked) {
		holder, _ := os.ReadFile(name) // for the message only
		err = fmt.Errorf("%w: another node uses it (process %s): give each node a directory of its own",
			holdfast.ErrConflict, strings.TrimSpace(string(holder)))
	}
	if err != nil {
		return nil, fmt.Errorf("lock state directory %s: %w", dir, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write lock of state directory %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// Free returns an error that names the process of the node that uses a state directory,
// nil if none does.
func Free(path string) error {
	if _, err := os.Stat(filepath.Join(path, lockFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := lockState(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close lets the directory go.
func (s *state) Close() error { return errors.Join(s.lock.Close(), s.dir.Close()) }

// Kept returns the contents of a state directory for a node to start from although
// registry and store are unreachable; nil if there is nothing.
func Kept(path string) *registry.Snapshot {
	if _, err := os.Stat(filepath.Join(path, tableFile)); err != nil {
		return nil
	}
	dir, err := durable.OpenDir(path)
	if err != nil {
		return nil
	}
	defer dir.Close() //nolint:errcheck // was only read
	k, err := (&state{path: path, dir: dir}).table()
	if err != nil {
		return nil
	}
	return k.Snapshot
}

// kept is the content of the table file.
type kept struct {
	Read     time.Time          // when the registry was read
	Snapshot *registry.Snapshot // as it was then
}

type keptText struct {
	Read     time.Time       `json:"read"`
	Snapshot json.RawMessage `json:"snapshot"`
}

// load returns the stored state. Broken parts count as missing, and are logged.
func (s *state) load() kept {
	k, err := s.table()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("kept table ignored: this node cannot serve before it has read the registry", "file", filepath.Join(s.path, tableFile), "error", err)
	}
	return k
}

func (s *state) table() (kept, error) {
	data, err := s.read(tableFile)
	if err != nil {
		return kept{}, err
	}
	return parseTable(data)
}

func parseTable(data []byte) (kept, error) {
	header, rest, _ := bytes.Cut(data, []byte("\n"))
	if string(header) != tableHeader+holdfast.DigestOf(rest).String() {
		return kept{}, fmt.Errorf("%w: the header does not fit the content", holdfast.ErrCorrupt)
	}
	var text keptText
	if err := json.Unmarshal(rest, &text); err != nil {
		return kept{}, fmt.Errorf("%w: %w", holdfast.ErrCorrupt, err)
	}
	snap, err := registry.DecodeSnapshot(text.Snapshot)
	if err != nil {
		return kept{}, err
	}
	return kept{text.Read, snap}, nil
}

// save keeps k, atomically and durably.
func (s *state) save(k kept) error {
	snap, err := k.Snapshot.Encode()
	if err != nil {
		return err
	}
	rest, err := json.Marshal(keptText{k.Read.UTC(), snap})
	if err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	header := tableHeader + holdfast.DigestOf(rest).String() + "\n"
	if err := s.tree.Replace(tableFile, append([]byte(header), rest...)); err != nil {
		return fmt.Errorf("save table: %w", err)
	}
	return nil
}

func (s *state) read(name string) ([]byte, error) {
	f, err := s.dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxStateFile {
		return nil, fmt.Errorf("file of %d bytes: %w", info.Size(), holdfast.ErrCorrupt)
	}
	data := make([]byte, info.Size())
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, err
	}
	return data, nil
}

// clean removes, now and then, the texts that no servable release of snap has.
func (s *state) clean(snap *registry.Snapshot) error {
	if time.Since(s.cleaned) < cleanAge {
		return nil
	}
	s.cleaned = time.Now()
	wanted := make(map[string]bool)
	for _, app := range snap.Apps {
		for i := range app.Releases {
			if r := &app.Releases[i]; r.State.Servable() {
				wanted[manifestDir+r.Manifest.String()], wanted[inventoryDir+r.Inventory.String()], wanted[pagesDir+r.Pages.String()] = true, true, true
			}
		}
	}
	return errors.Join(s.cleanDir(manifestDir, wanted), s.cleanDir(inventoryDir, wanted), s.cleanDir(pagesDir, wanted))
}

func (s *state) cleanDir(dir string, wanted map[string]bool) error {
	entries, err := s.dir.ReadDir(path.Clean(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tidy state directory: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || wanted[dir+e.Name()] || !info.Mode().IsRegular() || time.Since(info.ModTime()) < cleanAge {
			continue
		}
		if err := s.dir.Remove(dir + e.Name()); err != nil {
			return fmt.Errorf("tidy state directory: %w", err)
		}
	}
	return nil
}
