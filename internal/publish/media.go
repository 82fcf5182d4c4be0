package publish

import (
	"path"
	"strings"
)

// mediaType returns the Content-Type for a file name's extension. It never asks the host,
// whose table would make the result differ by machine. An unknown extension is
// application/octet-stream, which browsers download.
func mediaType(p string) string {
	base := path.Base(p)
	if t := textType(strings.ToLower(path.Ext(base))); t != "" {
		return t + "; charset=utf-8"
	}
	if t := binaryType(strings.ToLower(path.Ext(base))); t != "" {
		return t
	}
	switch strings.ToUpper(base) {
	case "LICENSE", "LICENCE", "NOTICE", "README", "CHANGELOG", "AUTHORS", "COPYING":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

func textType(ext string) string {
	switch ext {
	case ".html", ".htm":
		return "text/html"
	case ".js", ".mjs", ".cjs":
		return "text/javascript"
	case ".css":
		return "text/css"
	case ".txt", ".text", ".log":
		return "text/plain"
	case ".md", ".markdown":
		return "text/markdown"
	case ".csv":
		return "text/csv"
	case ".vtt":
		return "text/vtt"
	case ".ics":
		return "text/calendar"
	case ".xhtml", ".xht":
		return "application/xhtml+xml"
	}
	return ""
}

// binaryType also names types that say themselves which charset they have.
func binaryType(ext string) string {
	switch ext {
	case ".json", ".map":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".jsonld":
		return "application/ld+json"
	case ".geojson":
		return "application/geo+json"
	case ".wasm":
		return "application/wasm"
	case ".xml", ".xsl", ".xslt":
		return "application/xml"
	case ".rss":
		return "application/rss+xml"
	case ".atom":
		return "application/atom+xml"
	case ".pdf":
		return "application/pdf"
	case ".zip":
		return "application/zip"
	case ".gz", ".tgz":
		return "application/gzip"
	case ".yaml", ".yml":
		return "application/yaml"
	case ".glb":
		return "model/gltf-binary"
	case ".gltf":
		return "model/gltf+json"
	}
	if t := imageType(ext); t != "" {
		return t
	}
	return soundAndFontType(ext)
}

func imageType(ext string) string {
	switch ext {
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".apng":
		return "image/apng"
	case ".jpg", ".jpeg", ".jfif":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	case ".avif":
		return "image/avif"
	case ".jxl":
		return "image/jxl"
	case ".ico", ".cur":
		return "image/vnd.microsoft.icon"
	case ".bmp":
		return "image/bmp"
	case ".tif", ".tiff":
		return "image/tiff"
	}
	return ""
}

func soundAndFontType(ext string) string {
	switch ext {
	case ".woff2":
		return "font/woff2"
	case ".woff":
		return "font/woff"
	case ".ttf":
		return "font/ttf"
	case ".otf":
		return "font/otf"
	case ".ttc":
		return "font/collection"
	case ".eot":
		return "application/vnd.ms-fontobject"
	case ".mp4", ".m4v":
		return "video/mp4"
	case ".webm":
		return "video/webm"
	case ".ogv":
		return "video/ogg"
	case ".mov":
		return "video/quicktime"
	case ".ts":
		return "video/mp2t"
	case ".m3u8":
		return "application/vnd.apple.mpegurl"
	case ".mpd":
		return "application/dash+xml"
	case ".mp3":
		return "audio/mpeg"
	case ".m4a":
		return "audio/mp4"
	case ".aac":
		return "audio/aac"
	case ".ogg", ".oga", ".opus":
		return "audio/ogg"
	case ".wav":
		return "audio/wav"
	case ".flac":
		return "audio/flac"
	case ".weba":
		return "audio/webm"
	}
	return ""
}
