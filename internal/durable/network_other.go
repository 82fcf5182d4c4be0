//go:build !linux && !darwin

package durable

// Network recognizes no network file systems on this operating system.
func Network(string) (string, error) { return "", nil }
