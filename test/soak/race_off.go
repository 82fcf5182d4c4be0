//go:build !race

package soak

// thorough is what part of the usual calls is made.
const thorough = 1
