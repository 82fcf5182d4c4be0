package sqlitekv

import (
	"context"
	"fmt"
	"strconv"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// token is the revision of a key's last change: revisions are never reused.
func token(rev kv.Revision) kv.Token { return kv.MakeToken(strconv.FormatInt(int64(rev), 10)) }

// modified is the inverse of token; for a token that matches no key it returns a revision
// that no key has.
func modified(t kv.Token) int64 {
	rev, err := strconv.ParseInt(t.Raw(), 10, 64)
	if err != nil {
		return -1
	}
	return rev
}

// Commit implements kv.Driver.
func (d *Driver) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	if err := d.checkOps(ops); err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	ctx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	defer leave()
	rev, err := d.write(ctx, func(ctx context.Context, t *tx) error {
		for _, op := range ops {
			if err := t.apply(ctx, op); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return kv.Receipt{}, fmt.Errorf("commit to %s: %w", d.path, err)
	}
	return kv.MakeReceipt(rev, token(rev), ops), nil
}

func (d *Driver) checkOps(ops []kv.Op) error {
	if err := kv.CheckOps(ops); err != nil {
		return err
	}
	for _, op := range ops {
		if l, ok := op.Lease.(*lease); op.Lease != nil && (!ok || l.driver != d) {
			return fmt.Errorf("create %s: lease of another driver: %w", op.Key, kv.ErrInvalid)
		}
	}
	return nil
}

// apply executes one operation. Each is one statement that matches its key only in the
// required state.
func (t *tx) apply(ctx context.Context, op kv.Op) error {
	dir, name := kv.Split(op.Key)
	switch op.Kind {
	case kv.KindCreate:
		return t.create(ctx, op, dir, name)
	case kv.KindSet:
		t.touch(dir)
		return t.one(ctx, op, `UPDATE keys SET value = ?, modified = ? WHERE dir = ? AND name = ? AND modified = ?`,
			blob(op.Value), t.rev, dir, name, modified(op.Token))
	case kv.KindDelete:
		t.touch(dir)
		return t.one(ctx, op, `DELETE FROM keys WHERE dir = ? AND name = ? AND modified = ?`,
			dir, name, modified(op.Token))
	default: // a check
		return t.check(ctx, op, dir, name)
	}
}

func (t *tx) create(ctx context.Context, op kv.Op, dir, name string) error {
	var id any
	if op.Lease != nil {
		l := op.Lease.(*lease) // CheckOps has checked the kind
		if err := l.usable(ctx, t); err != nil {
			return fmt.Errorf("create %s: %w", op.Key, err)
		}
		id = l.id
	}
	t.touch(dir)
	return t.one(ctx, op, `INSERT INTO keys (dir, name, value, created, modified, lease)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, dir, name, blob(op.Value), t.rev, t.rev, id)
}

// one runs a statement that must change exactly one row.
func (t *tx) one(ctx context.Context, op kv.Op, query string, args ...any) error {
	result, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	return conflictUnless(n == 1, op)
}

func (t *tx) check(ctx context.Context, op kv.Op, dir, name string) error {
	var holds bool
	err := t.conn.QueryRowContext(ctx,
		`SELECT EXISTS (SELECT 1 FROM keys WHERE dir = ? AND name = ? AND modified = ?)`,
		dir, name, modified(op.Token)).Scan(&holds)
	if err != nil {
		return err
	}
	return conflictUnless(holds, op)
}

func conflictUnless(holds bool, op kv.Op) error {
	switch {
	case holds:
		return nil
	case op.Kind == kv.KindCreate:
		return fmt.Errorf("create %s, which exists: %w", op.Key, kv.ErrConflict)
	}
	return fmt.Errorf("%s %s, which has changed: %w", op.Kind, op.Key, kv.ErrConflict)
}

// blob keeps an empty value from becoming NULL.
func blob(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
