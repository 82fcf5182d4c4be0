package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	for where, want := range map[string][]string{
		"zk://a,b:2182,[::1]/top":                       {"a:2181", "b:2182", "[::1]:2181"},
		"etcd://10.0.0.1:2379,10.0.0.2/p?tls=true":      {"10.0.0.1:2379", "10.0.0.2:2379"},
		"s3://bucket/p?endpoint=http://127.0.0.1:9000":  {"127.0.0.1:9000"},
		"s3://bucket/p?endpoint=https://s3.example.com": {"s3.example.com:443"},
		"s3://bucket/p":       nil,
		"nfs:/mnt/x":          nil,
		"holdfast-data/store": nil,
		"./data/registry.db":  nil,
	} {
		if diff := cmp.Diff(want, addressesOf(where)); diff != "" {
			t.Errorf("%s:\n%s", where, diff)
		}
	}
}
