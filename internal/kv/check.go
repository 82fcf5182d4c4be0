package kv

import (
	"fmt"
	"strings"
)

// Limits that all drivers enforce, taken from the narrowest service: ZooKeeper refuses
// packets of 1 MiB, etcd transactions of more than 128 operations.
const (
	MaxKey    = 1024      // bytes of a key
	MaxValue  = 512 << 10 // bytes of a value
	MaxOps    = 100       // operations of a commit
	MaxCommit = 768 << 10 // bytes of all keys and values of a commit
)

// CheckKey returns an error that wraps ErrInvalid unless key is valid: segments of
// visible ASCII (0x21 to 0x7e) between single slashes, none of them "." or "..", at most
// MaxKey bytes in total.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("key of %d bytes, at most %d are possible: %w", len(key), MaxKey, ErrInvalid)
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsFunc(seg, invisible) {
			return fmt.Errorf("key %q: %w", key, ErrInvalid)
		}
	}
	return nil
}

func invisible(r rune) bool { return r < 0x21 || r > 0x7e }

// CheckDir is CheckKey for directories; "" is the directory of keys without a
// slash.
func CheckDir(dir string) error {
	if dir == "" {
		return nil
	}
	return CheckKey(dir)
}

// CheckOps returns an error that wraps ErrInvalid unless ops is valid for Commit. Drivers
// call it first.
func CheckOps(ops []Op) error {
	if len(ops) == 0 || len(ops) > MaxOps {
		return fmt.Errorf("commit of %d operations, 1 to %d are possible: %w", len(ops), MaxOps, ErrInvalid)
	}
	seen, size := make(map[string]bool, len(ops)), 0
	for _, op := range ops {
		if err := op.check(); err != nil {
			return err
		}
		if seen[op.Key] {
			return fmt.Errorf("commit names key %q twice: %w", op.Key, ErrInvalid)
		}
		seen[op.Key] = true
		size += len(op.Key) + len(op.Value)
	}
	if size > MaxCommit {
		return fmt.Errorf("commit of %d bytes, at most %d are possible: %w", size, MaxCommit, ErrInvalid)
	}
	return nil
}

func (op Op) check() error {
	if op.Kind < KindCreate || op.Kind > KindDelete {
		return fmt.Errorf("operation of kind %d: %w", op.Kind, ErrInvalid)
	}
	if op.Lease != nil && op.Kind != KindCreate {
		return fmt.Errorf("%s of key %q with a lease: %w", op.Kind, op.Key, ErrInvalid)
	}
	if len(op.Value) > MaxValue {
		return fmt.Errorf("value of %d bytes for key %q, at most %d are possible: %w",
			len(op.Value), op.Key, MaxValue, ErrInvalid)
	}
	return CheckKey(op.Key)
}

// String names the kind for messages.
func (k Kind) String() string {
	switch k {
	case KindCreate:
		return "create"
	case KindSet:
		return "set"
	case KindCheck:
		return "check"
	case KindDelete:
		return "delete"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Split cuts a key into its directory and its name: "a/b/c" is "c" in "a/b".
func Split(key string) (dir, name string) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

// Join is the inverse of Split.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
