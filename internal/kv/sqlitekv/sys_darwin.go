package sqlitekv

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// bootTime is the time since boot in nanoseconds, including suspension. On this system
// that is the monotonic clock.
func bootTime() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read boot clock: %w", err)
	}
	return ts.Nano(), nil
}

// bootID distinguishes one boot of the machine from another.
func bootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("read boot ID: %w", err)
	}
	return id, nil
}
