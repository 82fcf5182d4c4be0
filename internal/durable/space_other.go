//go:build !linux && !darwin

package durable

import "errors"

// Space is not supported here.
func Space(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
