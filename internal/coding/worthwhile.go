package coding

import (
	"path"
	"strings"
)

// Worthwhile reports whether files of a media type are encoded at all: text, scripts,
// JSON, XML, SVG, WebAssembly, uncompressed fonts and bitmaps, and unknown binary data
// unless its name indicates compression. Formats with compressed data (woff2, png, jpeg,
// webp, avif, video, archives) are not.
func Worthwhile(mediaType, name string) bool {
	base, _, _ := strings.Cut(mediaType, ";")
	base = strings.ToLower(strings.TrimSpace(base))
	switch {
	case strings.HasPrefix(base, "text/"), strings.HasSuffix(base, "+json"), strings.HasSuffix(base, "+xml"):
		return true
	case base == "application/octet-stream":
		return !isCompressedName(name)
	}
	switch base {
	case "application/javascript", "application/json", "application/xml", "application/wasm", "application/rtf",
		"application/vnd.ms-fontobject", "application/x-ndjson", "application/yaml", "application/toml",
		"font/ttf", "font/otf", "font/collection",
		"image/bmp", "image/vnd.microsoft.icon", "image/x-icon", "image/tiff", "audio/wav", "model/gltf-binary":
		return true
	}
	return false
}

func isCompressedName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".7z", ".apk", ".br", ".bz2", ".cab", ".deb", ".dmg", ".exe", ".gz", ".iso", ".jar", ".jxl", ".lz4", ".lzma",
		".msi", ".pack", ".rar", ".rpm", ".tbz", ".tgz", ".txz", ".xz", ".zip", ".zst":
		return true
	}
	return false
}

// Pays reports whether an encoded form is kept: it must save 64 bytes, which is less than
// its extra header lines, and a thirty-second of the size.
func Pays(identity, encoded int64) bool {
	return identity-encoded >= max(64, identity/32)
}
