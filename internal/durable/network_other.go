//go:build !linux && !darwin

package durable

// Network knows no file systems of networks on this operating system.
func Network(string) (string, error) { return "", nil }
