//go:build !race

package etcdkv_test

// rounds of the test with faults, of 100 calls each.
const rounds = 100
