//go:build race

package soak

// thorough is what part of the usual calls is made: SQLite is 15 times slower
// when its Go code is watched for races.
const thorough = 10
