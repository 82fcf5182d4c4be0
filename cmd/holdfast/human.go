package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// humanSize writes a number of bytes in decimal units, with three digits.
func humanSize(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		if v /= 1000; v < 999.5 {
			break
		}
	}
	digits := 0
	switch {
	case v < 9.995:
		digits = 2
	case v < 99.95:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + unit
}

// humanMemory writes whole MiB as such, as --memory is mostly given.
func humanMemory(n int64) string {
	if n%(1<<20) == 0 {
		return grouped(int(n>>20)) + " MiB"
	}
	return humanSize(n)
}

// humanDuration writes a duration with two units at most.
func humanDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	d = d.Round(time.Second)
	for _, u := range []struct {
		unit, part         time.Duration
		unitName, partName string
	}{{24 * time.Hour, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "min"}, {time.Minute, time.Second, "min", "s"}} {
		if d < u.unit {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.unit, u.unitName)
		if rest := d % u.unit / u.part; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, u.partName)
		}
		return text
	}
	return d.String()
}

// humanTime writes how long ago t was, or its date when that is easier to grasp.
func humanTime(t, now time.Time) string {
	age := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case age < 2*time.Second: // stamps may be slightly in the future
		return "just now"
	case age < time.Minute:
		return fmt.Sprintf("%d s ago", int(age.Seconds()))
	case age < time.Hour:
		return fmt.Sprintf("%d min ago", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(age.Hours()))
	}
	return t.Local().Format("2006-01-02 15:04")
}

// count writes a number with its noun: "1 file", "1,204 files".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// listed joins words as prose: "a, b and c".
func listed[T fmt.Stringer](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.String()
	}
	return prose(texts, "and")
}

func prose(words []string, last string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// parseSize reads a number of bytes such as 4096, 500MB or 256MiB.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "BKMGTkibmgt ")
	v, err := strconv.ParseFloat(digits, 64)
	factor, ok := sizeUnit(strings.TrimSpace(text[len(digits):]))
	if n := v * factor; err == nil && ok && n >= 1 && n < 1<<62 {
		return int64(n), nil
	}
	return 0, fmt.Errorf("want a size such as 256MiB or 4GB")
}

func sizeUnit(unit string) (factor float64, ok bool) {
	unit = strings.TrimSuffix(strings.ToLower(unit), "b")
	base := 1000.0
	if prefix, binary := strings.CutSuffix(unit, "i"); binary {
		unit, base = prefix, 1024
	}
	switch i := strings.Index("kmgt", unit); {
	case unit == "" && base == 1000:
		return 1, true
	case len(unit) == 1 && i >= 0:
		return math.Pow(base, float64(i+1)), true
	}
	return 0, false
}
