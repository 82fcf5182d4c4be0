package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set in release builds: -ldflags "-X main.version=v1.2.3".
var version string

// programVersion is the version of a release, that of the module, or "devel" for a build
// from a tree.
func programVersion() string { return buildInfo().Version }

// buildInfo returns the known facts about this build.
func buildInfo() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		v.Version = cmp.Or(v.Version, "devel")
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Date = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	if v.Version == "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	v.Version = cmp.Or(v.Version, "devel")
	return v
}

// String is how people read it.
func (v versionInfo) String() string {
	text := "holdfast " + v.Version
	if v.Commit != "" {
		text += ", commit " + v.Commit[:min(len(v.Commit), 12)]
		if v.Modified {
			text += " with changes"
		}
		text += " of " + v.Date
	}
	return text + " (" + v.Go + ", " + v.Platform + ")"
}

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Prints the version of this program, the commit it was built from with its date, the
Go release it was built with, and the platform. holdfast --version does the same.

JSON keys: version, commit, date, modified, go, platform.`,
		Example: `  holdfast version
  holdfast version --json`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			c.ui.report(buildInfo())
			c.ui.say("%s", buildInfo())
			return nil
		},
	}
	jsonFlag(cmd.Flags())
	return cmd
}
