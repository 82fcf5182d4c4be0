package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// programVersion is the module's version, or "devel" for a build from a tree.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *cli) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Prints the version of this program, of the Go release it was built with, and the
platform.

JSON keys: version, go, platform.`,
		Example: `  holdfast version
  holdfast version --json`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if asJSON {
				return c.ui.json(versionInfo{programVersion(), runtime.Version(), platform})
			}
			c.ui.say("holdfast %s (%s, %s)", programVersion(), runtime.Version(), platform)
			return nil
		},
	}
	jsonFlag(cmd.Flags(), &asJSON)
	return cmd
}
