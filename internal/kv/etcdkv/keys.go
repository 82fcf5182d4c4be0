package etcdkv

import (
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// keyspace is the location of a driver's keys in etcd: a prefix such as "/holdfast".
type keyspace string

// key returns the etcd key for a key of the contract.
func (s keyspace) key(key string) string {
	dir, name := kv.Split(key)
	return s.start(dir) + name
}

// start is the common start of the keys directly in dir, and of no others.
func (s keyspace) start(dir string) string {
	if dir == "" {
		return string(s) + "//"
	}
	return string(s) + "/" + dir + "//"
}

// children returns the range of etcd keys directly in dir: the first one, and the first
// after them.
func (s keyspace) children(dir string) (first, end string) {
	first = s.start(dir)
	return first, clientv3.GetPrefixRangeEnd(first)
}

// list converts the etcd keys directly in dir to keys of the contract.
func (s keyspace) list(dir string, kvs []*mvccpb.KeyValue) []string {
	keys := make([]string, len(kvs))
	for i, e := range kvs {
		keys[i] = kv.Join(dir, strings.TrimPrefix(string(e.Key), s.start(dir)))
	}
	return keys
}

// entry is what etcd knows of a key.
func entry(key string, e *mvccpb.KeyValue) kv.Entry {
	return kv.Entry{
		Key:      key,
		Value:    e.Value,
		Token:    token(kv.Revision(e.ModRevision)),
		Created:  kv.Revision(e.CreateRevision),
		Modified: kv.Revision(e.ModRevision),
		Leased:   e.Lease != 0,
	}
}

// token is the revision of a key's last change: revisions are never reused.
func token(rev kv.Revision) kv.Token { return kv.MakeToken(strconv.FormatInt(int64(rev), 10)) }

// modified is the inverse of token; for a token that matches no key it returns a revision
// that no key has.
func modified(t kv.Token) int64 {
	rev, err := strconv.ParseInt(t.Raw(), 10, 64)
	if err != nil || rev <= 0 { // 0 is the revision of keys that do not exist
		return -1
	}
	return rev
}
