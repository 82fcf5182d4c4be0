package publish

import (
	"path"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// mediaType returns the Content-Type of a file by the extension of its name. It
// never asks the host, whose table would make the same build differ by machine.
// What is not listed is application/octet-stream, which browsers download.
//
// A file that is encoded in itself, with no plain file beside it, has the type of what it
// holds; see holdfast.EncodedInItself. beside: there is a plain file.
func mediaType(p string, beside bool) string {
	base := path.Base(p)
	switch inner, ext := strings.TrimSuffix(p, path.Ext(p)), path.Ext(base); {
	case ext == ".br" && !beside && isProgramData(inner), ext == ".gz" && !beside && isProgramData(inner):
		return mediaType(inner, false)
	case ext == ".br":
		return holdfast.MediaTypeBrotli
	case ext == ".svgz":
		return mediaType(inner+".svg", false)
	}
	if t := wellKnownType(p); t != "" {
		return t
	}
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

// readableType is the media type of a file whose bytes can be read as such.
func readableType(p string) string {
	if t := mediaType(p, true); holdfast.EncodedInItself(p, t) == holdfast.Identity {
		return t
	}
	return "application/octet-stream"
}

// isProgramData reports whether a file is of those that loaders fetch in encoded form and
// use as they are, as the Unity loader does. Others, such as "data.csv.gz", are downloads.
func isProgramData(p string) bool {
	switch path.Ext(p) {
	case ".js", ".mjs", ".css", ".wasm", ".data", ".json", ".unityweb", ".symbols":
		return true
	}
	return false
}

// wellKnownType knows files whose names have no extension, or none that says what they are.
func wellKnownType(p string) string {
	switch strings.TrimPrefix(p, ".well-known/") {
	case "apple-app-site-association": // also at the root
		return "application/json"
	}
	name, ok := strings.CutPrefix(p, ".well-known/")
	if !ok {
		return ""
	}
	switch name {
	case "openid-configuration", "oauth-authorization-server", "oauth-protected-resource", "matrix/client", "matrix/server", "matrix/support",
		"nostr", "smart-configuration", "uma2-configuration", "jwks", "gpc", "passkey-endpoints", "webauthn":
		return "application/json"
	case "webfinger", "host-meta.jrd":
		return "application/jrd+json" // RFC 7033, section 10.2
	case "host-meta":
		return "application/xrd+xml" // RFC 6415, section 3
	}
	if !strings.Contains(path.Base(name), ".") {
		switch {
		case strings.HasPrefix(name, "openid-"), strings.HasPrefix(name, "oauth-"), strings.HasPrefix(name, "matrix/"):
			return "application/json"
		case strings.HasPrefix(name, "acme-challenge/"), name == "change-password", strings.HasPrefix(name, "pki-validation/"):
			return "text/plain; charset=utf-8"
		}
	}
	return ""
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
	case ".vcf":
		return "text/vcard"
	case ".tsv":
		return "text/tab-separated-values"
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
	if t := archiveType(ext); t != "" {
		return t
	}
	if t := officeType(ext); t != "" {
		return t
	}
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

func archiveType(ext string) string {
	switch ext {
	case ".zip":
		return "application/zip"
	case ".gz", ".tgz":
		return "application/gzip"
	case ".zst":
		return "application/zstd"
	case ".pkpass":
		return "application/vnd.apple.pkpass"
	case ".pkpasses":
		return "application/vnd.apple.pkpasses"
	case ".mobileconfig":
		return "application/x-apple-aspen-config"
	case ".apk":
		return "application/vnd.android.package-archive"
	case ".usdz":
		return "model/vnd.usdz+zip"
	case ".jrd":
		return "application/jrd+json"
	case ".webbundle", ".wbn":
		return "application/webbundle"
	case ".epub":
		return "application/epub+zip"
	case ".rtf":
		return "application/rtf"
	case ".7z":
		return "application/x-7z-compressed"
	case ".tar":
		return "application/x-tar"
	case ".bz2":
		return "application/x-bzip2"
	case ".xz":
		return "application/x-xz"
	case ".jar":
		return "application/java-archive"
	case ".opf":
		return "application/oebps-package+xml"
	}
	return ""
}

func officeType(ext string) string {
	switch ext {
	case ".kml":
		return "application/vnd.google-earth.kml+xml"
	case ".kmz":
		return "application/vnd.google-earth.kmz"
	case ".gpx":
		return "application/gpx+xml"
	case ".doc":
		return "application/msword"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case ".xls":
		return "application/vnd.ms-excel"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case ".ppt":
		return "application/vnd.ms-powerpoint"
	case ".pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case ".odt":
		return "application/vnd.oasis.opendocument.text"
	case ".ods":
		return "application/vnd.oasis.opendocument.spreadsheet"
	}
	return ""
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
	case ".heic":
		return "image/heic"
	case ".heif":
		return "image/heif"
	case ".psd":
		return "image/vnd.adobe.photoshop"
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
