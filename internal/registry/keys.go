package registry

import (
	"fmt"
	"strconv"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	registryKey = "holdfast/registry"
	mountsKey   = "holdfast/mounts"
	leaderKey   = "holdfast/leader"
	epochKey    = "holdfast/epoch"
	sweepKey    = "holdfast/sweep"
	scrubKey    = "holdfast/scrub"
	storeKey    = "holdfast/store"
	clockKey    = "holdfast/clock"
	headDir     = "holdfast/head"
	leaseDir    = "holdfast/lease"
	copierDir   = "holdfast/copier"
	nodeDir     = "holdfast/node"
	prepareDir  = "holdfast/prepare"
	sightDir    = "holdfast/sighted"
	uploadDir   = "holdfast/upload"
	packsDir    = "holdfast/packs"
	usageDir    = "holdfast/usage"
)

// takedownsKey is separate: it belongs to no app and no directory.
const takedownsKey = "holdfast/takedowns"

func headKey(app holdfast.AppName) string    { return headDir + "/" + app.String() }
func releaseDir(app holdfast.AppName) string { return "holdfast/release/" + app.String() }
func versionDir(app holdfast.AppName) string { return "data/" + app.String() + "/version" }

func releaseKey(app holdfast.AppName, id holdfast.ReleaseID) string {
	return releaseDir(app) + "/" + id.String()
}

// bindingKey is the key of an ID's record after the ID was freed n times. A character
// that no ID contains follows the ID, so that older programs ignore the key.
func bindingKey(app holdfast.AppName, b binding) string {
	key := releaseKey(app, b.id)
	if b.freed > 0 {
		key += "@" + strconv.Itoa(b.freed)
	}
	return key
}

func versionKey(app holdfast.AppName, side holdfast.Side) string {
	return versionDir(app) + "/" + side.String()
}

// copierKey lies beside those of all apps and builds, so that one directory is watched.
func copierKey(app holdfast.AppName, manifest holdfast.Digest) string {
	return copierDir + "/" + app.String() + "@" + manifest.String()
}

func takedownKey(d holdfast.Digest) string { return "holdfast/takedown/" + d.String() }

func usageKey(app holdfast.AppName) string { return usageDir + "/" + app.String() }

func tombstoneKey(app holdfast.AppName, seq int64) string {
	return fmt.Sprintf("holdfast/gone/%s/%010d", app, seq)
}

func retirementKey(app holdfast.AppName, seq int64) string {
	return fmt.Sprintf("holdfast/retired/%s/%010d", app, seq)
}

func takenKey(app holdfast.AppName, seq int64) string {
	return fmt.Sprintf("holdfast/taken/%s/%010d", app, seq)
}

func hookKey(app holdfast.AppName, name holdfast.HookName) string {
	return "holdfast/hook/" + app.String() + "/" + name.String()
}

// historyKey has a fixed width, so that entries sort in order.
func historyKey(app holdfast.AppName, seq int64) string {
	return fmt.Sprintf("holdfast/history/%s/%010d", app, seq)
}
