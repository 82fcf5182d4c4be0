package registry

import (
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	registryKey = "holdfast/registry"
	mountsKey   = "holdfast/mounts"
	leaderKey   = "holdfast/leader"
	epochKey    = "holdfast/epoch"
	headDir     = "holdfast/head"
	leaseDir    = "holdfast/lease"
	nodeDir     = "holdfast/node"
)

func headKey(app holdfast.AppName) string    { return headDir + "/" + app.String() }
func releaseDir(app holdfast.AppName) string { return "holdfast/release/" + app.String() }
func versionDir(app holdfast.AppName) string { return "data/" + app.String() + "/version" }

func releaseKey(app holdfast.AppName, id holdfast.ReleaseID) string {
	return releaseDir(app) + "/" + id.String()
}

func versionKey(app holdfast.AppName, side holdfast.Side) string {
	return versionDir(app) + "/" + side.String()
}

// historyKey has a fixed width, so that people see the entries in their order.
func historyKey(app holdfast.AppName, seq int64) string {
	return fmt.Sprintf("holdfast/history/%s/%010d", app, seq)
}
