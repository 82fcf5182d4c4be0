package publish

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Project is a directory with the source of a build, or a server's code, rather than
// files for browsers.
type Project struct {
	Signs []string // the files and directories that identify it
	// Builds are directories in it that look like the build, the likeliest first, as
	// slash-separated paths.
	Builds []string
}

// FindProject reports whether a directory is a project. A package.json alone proves
// nothing: npm packages contain their builds beside it. An unreadable directory does not
// count; Scan reports the error.
func FindProject(dir string) (Project, bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Project{}, false
	}
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.Name()] = e.IsDir()
	}
	signs := projectSigns(names)
	if len(signs) == 0 {
		return Project{}, false
	}
	return Project{signs, buildsIn(os.DirFS(dir))}, true
}

// projectSigns returns the signs of a project; names says which of the directory's
// entries are directories.
func projectSigns(names map[string]bool) (signs []string) {
	if names["node_modules"] {
		signs = append(signs, "node_modules/")
	}
	if isFile(names, "package.json") {
		var more []string
		for name, dir := range names {
			if dir && name == "src" {
				more = append(more, "src/")
			} else if !dir && isSource(name) {
				more = append(more, name)
			}
		}
		if len(more)+len(signs) > 0 {
			slices.Sort(more)
			signs = append(append(signs, "package.json"), more...)
		}
	}
	// Server output of Next.js and Nitro (Nuxt, SolidStart, Analog): code, often with
	// secrets.
	if names["server"] && (isFile(names, "BUILD_ID") || isFile(names, "nitro.json")) {
		signs = append(signs, "server/")
	}
	return signs[:min(len(signs), 4)]
}

func isFile(names map[string]bool, name string) bool {
	dir, ok := names[name]
	return ok && !dir
}

// isSource reports whether a file is one that people write or package managers keep
// beside package.json.
func isSource(name string) bool {
	if slices.Contains([]string{"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "deno.lock", "tsconfig.json", "angular.json", "nx.json", "turbo.json"}, name) {
		return true
	}
	found, err := path.Match("*.config.[cmjt]*s", name) // vite.config.ts, next.config.mjs
	return err == nil && found
}

// buildsIn returns the directories of a project that tools write builds to and that
// hold an index.html.
func buildsIn(project fs.FS) (found []string) {
	for _, pattern := range []string{
		"dist", "build", "out", ".output/public", "www", "_site", "dist/browser", "dist/*/browser", "dist/client", "build/client",
		"dist/*", ".vitepress/dist", "docs/.vitepress/dist", "storybook-static",
	} {
		pages, err := fs.Glob(project, pattern+"/index.html")
		if err != nil {
			continue
		}
		for _, p := range pages {
			if dir := filepath.ToSlash(path.Dir(p)); !slices.Contains(found, dir) {
				found = append(found, dir)
			}
		}
	}
	return found
}
