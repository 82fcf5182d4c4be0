//go:build race

package sqlitekv_test

// rounds of the test with processes: SQLite is 15 times slower when its Go code
// is watched for races.
const rounds = 10
