package zkkv

import (
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// receipt describes the results of a multi that was applied.
func (t *trial) receipt(ops []kv.Op, steps []step, results []zk.MultiResponse) (kv.Receipt, error) {
	rev, err := revision(results)
	if err != nil {
		return kv.Receipt{}, err
	}
	left := make(map[string]kv.Token, len(ops))
	for i, s := range steps {
		if s.act != nil {
			s.act.token = s.leaves(rev, results[i].Stat)
			left[s.act.op.Key] = s.act.token.pack()
		}
	}
	r := kv.Receipt{Revision: rev, Tokens: make([]kv.Token, len(ops))}
	for i, op := range ops {
		if op.Kind != kv.KindDelete {
			r.Tokens[i] = left[op.Key]
		}
	}
	return r, nil
}

func revision(results []zk.MultiResponse) (kv.Revision, error) {
	for _, r := range results {
		if r.Stat != nil {
			return kv.Revision(r.Stat.Mzxid), nil
		}
	}
	return 0, fmt.Errorf("%w: the answer lacks the transaction's number", kv.ErrUnknown)
}

// leaves is the token of a znode after a step. The answer to a change contains the
// znode's stat; a created znode has the number of the transaction that creates it.
func (s step) leaves(rev kv.Revision, stat *zk.Stat) token {
	if stat != nil {
		return tokenOf(stat)
	}
	if s.act.op.Kind == kv.KindCreate {
		return token{czxid: int64(rev), leased: s.act.op.Lease != nil}
	}
	return s.act.token
}
