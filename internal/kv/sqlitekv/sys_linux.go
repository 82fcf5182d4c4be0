package sqlitekv

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootTime is the time since boot in nanoseconds, including suspension: a clock that is
// the same in all processes and cannot be set.
func bootTime() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read boot clock: %w", err)
	}
	return ts.Nano(), nil
}

// bootID distinguishes one boot of the machine from another.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot ID: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
