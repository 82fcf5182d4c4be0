package publish

import "strings"

// tool is the program that made a build, as identified by its traces.
type tool string

// The tools whose option for the base path is known.
const (
	unknownTool tool = ""
	next        tool = "Next.js"
	nuxt        tool = "Nuxt"
	svelteKit   tool = "SvelteKit"
	astro       tool = "Astro"
	vitePress   tool = "VitePress"
	docusaurus  tool = "Docusaurus"
	gatsby      tool = "Gatsby"
	angular     tool = "Angular"
	cra         tool = "Create React App"
	vite        tool = "Vite"
	parcel      tool = "Parcel"
	webpack     tool = "webpack or Rspack"
)

// tool recognises frameworks first: most are built on one of the bundlers.
func (b *Build) tool() tool {
	m := b.traits.marks
	generated := func(name string) bool {
		return strings.HasPrefix(strings.ToLower(b.generator()), name)
	}
	for _, known := range []struct {
		tool tool
		made bool
	}{
		{next, b.hasDir("_next") || m.has(markNextFlight)},
		{nuxt, b.hasDir("_nuxt")},
		{svelteKit, b.hasDir("_app/immutable") || m.has(markSvelteKit)},
		{astro, b.hasDir("_astro") || generated("astro")},
		{vitePress, generated("vitepress")},
		{docusaurus, generated("docusaurus")},
		{gatsby, m.has(markGatsby)},
		{angular, m.has(markAngularApp)},
		{cra, b.hasFile("asset-manifest.json") && b.hasDir("static/js")},
		{vite, m.has(markCrossorigin)},
		{webpack, m.has(markWebpack)},
		{parcel, b.looksLikeParcel()},
	} {
		if known.made {
			return known.tool
		}
	}
	return unknownTool
}

// generator is the tool named by the first page that names one.
func (b *Build) generator() string {
	for i := range b.traits.pages {
		if g := b.traits.pages[i].generator; g != "" {
			return g
		}
	}
	return ""
}

// looksLikeParcel: Parcel puts all files at the top, as name.<8 hex>.ext.
func (b *Build) looksLikeParcel() bool {
	named := 0
	for i := range b.Manifest.Files() {
		f := &b.Manifest.Files()[i]
		parts := strings.Split(f.Path, ".")
		if strings.Contains(f.Path, "/") {
			return false
		}
		if len(parts) >= 3 && len(parts[len(parts)-2]) == 8 && f.Fingerprinted() {
			named++
		}
	}
	return named > 0
}

// baseOption describes how the tool is told the path, "" for the root, of a build.
func (t tool) baseOption(path string) string {
	slash, bare := path+"/", path
	if bare == "" {
		bare = "/"
	}
	switch t {
	case next:
		if path == "" {
			return "no basePath and no assetPrefix in next.config.js"
		}
		return `basePath: "` + bare + `" in next.config.js`
	case nuxt:
		return `app.baseURL: "` + slash + `" in nuxt.config.ts`
	case svelteKit:
		return `kit.paths.base: "` + path + `" in svelte.config.js`
	case astro:
		return `base: "` + bare + `" in astro.config.mjs`
	case vitePress:
		return `base: "` + slash + `" in .vitepress/config`
	case docusaurus:
		return `baseUrl: "` + slash + `" in docusaurus.config.js`
	case gatsby:
		return `pathPrefix: "` + path + `" in gatsby-config.js, and --prefix-paths,`
	case angular:
		return "--base-href " + slash + " (ng build)"
	case cra:
		return `"homepage": "` + bare + `" in package.json`
	case vite:
		return `base: "` + slash + `" in vite.config.js`
	case parcel:
		return "--public-url " + slash + " (parcel build)"
	case webpack:
		return `output.publicPath: "` + slash + `" in the configuration of webpack or Rspack`
	}
	return `the base path "` + slash + `" in your build tool`
}
