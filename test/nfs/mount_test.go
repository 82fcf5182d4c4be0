package nfs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMounted: a store nfs:PATH is used only where the export is mounted, and made
// only by the first publish of a registry, on an empty export.
func TestMounted(t *testing.T) {
	s, machines := startSite(t, "publisher")
	m := machines[0]
	_, dir := newBuild(t, "one", 2)
	publish := []string{"publish", dir, "--release", "one"}
	missing := m.try(publish...)
	wantError(t, missing, 1, "open store nfs:"+mountPoint, "no such file or directory", "mount the export on "+mountPoint)

	m.sh("mkdir " + mountPoint)
	wantError(t, m.try(publish...), 1, "nothing is mounted there", "dir:"+mountPoint)
	m.sh("[ -z \"$(ls -A " + mountPoint + ")\" ]")

	marker := filepath.Join(s.server.Dir, "holdfast-store.json")
	m.mount("hard")
	m.sh("mkdir " + mountPoint + "/photos")
	wantError(t, m.try(publish...), 1, "holds something else: photos")
	m.sh("rmdir " + mountPoint + "/photos")
	wantError(t, m.try("serve", "--listen", "127.0.0.1:0", "--admin", "off"), 1, "the first holdfast publish creates the store")
	m.run(publish...)
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("publish on a new export made no marker: %v", err)
	}
	m.run("verify")

	other := append([]string{"--registry", s.registry("other")}, publish...)
	wantError(t, m.try(other...), 1, "belongs to the registry", "is not the store of --registry")

	m.Unmount(mountPoint)
	wantError(t, m.try("verify"), 1, "there is no store", "mount the export on "+mountPoint)
	m.sh("[ -z \"$(ls -A " + mountPoint + ")\" ]")

	// Another export, empty like one that lost everything.
	spare := s.server.Mount(mountPoint, m.Guest, "hard")
	spare.Source = s.server.Spare
	m.Mount(spare)
	wantError(t, m.try("publish", dir, "--release", "two"), 1, "the registry has releases, which are in another store")
}
