//go:build !race

package sqlitekv_test

const rounds = 100
