package sqlitekv

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootTime is the time since boot in nanoseconds, with the time that the machine
// was suspended: the same clock in all processes, and nobody can set it.
func bootTime() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read boot clock: %w", err)
	}
	return ts.Nano(), nil
}

// bootID tells one boot of the machine from another.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot ID: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
