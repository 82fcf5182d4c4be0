package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		c := &cli{ui: &ui{err: &stderr}}
		p := c.progress("stored")
		p.update(func(a *amount) { *a = amount{files: 1200, bytes: 2_000_000} })
		time.Sleep(plainEvery - time.Second)
		synctest.Wait()
		if stderr.Len() > 0 {
			t.Errorf("told too early: %s", stderr.String())
		}
		p.update(func(a *amount) { a.filesDone, a.bytesDone = 1000, 1_500_000 })
		time.Sleep(2*plainEvery + 2*time.Second)
		p.finish()
		if want := strings.Repeat("holdfast: stored 1,000 of 1,200 files, 1.50 MB of 2.00 MB\n", 3); stderr.String() != want {
			t.Errorf("got %q, want %q", stderr.String(), want)
		}
	})
}

func TestProgressBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		c := &cli{ui: &ui{err: &stderr, terminal: true}}
		p := c.progress("stored")
		p.update(func(a *amount) { *a = amount{files: 4, bytes: 2_000_000} })
		for done := range 4 {
			p.update(func(a *amount) { a.filesDone, a.bytesDone = done, int64(done)*500_000 })
			time.Sleep(2 * time.Second)
		}
		p.finish()
		text := stderr.String()
		for _, want := range []string{`stored 0 of 4 files`, `stored 3 of 4 files \[=+> *\] 1\.50 MB / 2\.00 MB`, `kB/s`, `\ds left`} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("the bar never shows %s:\n%q", want, text)
			}
		}
		if !strings.HasSuffix(text, "\r\x1b[K") {
			t.Errorf("the bar is not removed: %q", text)
		}
	})
}

func TestQuickCommandsShowNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		c := &cli{ui: &ui{err: &stderr, terminal: true}}
		p := c.progress("stored")
		p.update(func(a *amount) { *a = amount{files: 1, filesDone: 1, bytes: 10, bytesDone: 10} })
		time.Sleep(quick / 2)
		p.finish()
		if stderr.Len() > 0 {
			t.Errorf("shown: %q", stderr.String())
		}
	})
}
