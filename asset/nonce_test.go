package asset_test

import (
	"errors"
	"html/template"
	"net/http/httptest"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
)

// TestNonce: every element and every hint of an answer has its nonce, and no other
// answer has it.
func TestNonce(t *testing.T) {
	r, err := open(t, build(), asset.Options{}).Release()
	if err != nil {
		t.Fatal(err)
	}
	write := func(r *asset.Release) (html string, hints []string) {
		t.Helper()
		page, err := template.New("page").Funcs(r.Funcs()).Parse(`{{.Tags "src/main.ts"}}{{assetTags "index.html"}}{{assetImportMap}}`)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := page.Execute(&b, r); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		if err := r.Preload(w, httptest.NewRequest("GET", "/", nil)); err != nil {
			t.Fatal(err)
		}
		return b.String(), w.Header()["Link"]
	}
	bare, bareHints := write(r)
	elements := strings.Count(bare, "<script") + strings.Count(bare, "<link")
	if elements != 7 || len(bareHints) != 3 || strings.Contains(bare+strings.Join(bareHints, ""), "nonce") {
		t.Fatalf("without a nonce: %s\n%q", bare, bareHints)
	}
	for _, nonce := range []string{"ZXhhbXBsZQ==", "a-b_c+d/e"} {
		attribute := ` nonce="` + nonce + `"`
		html, hints := write(r.WithNonce(nonce))
		if n := strings.Count(html, "<script"+attribute) + strings.Count(html, "<link"+attribute) + strings.Count(html, `importmap"`+attribute+">"); n != elements {
			t.Errorf("%d of %d elements have it: %s", n, elements, html)
		}
		if strings.ReplaceAll(html, attribute, "") != bare {
			t.Errorf("it is not all that differs:\n%s\n%s", html, bare)
		}
		for i, hint := range hints {
			if hint != bareHints[i]+";"+attribute {
				t.Errorf("hint %s", hint)
			}
		}
	}
	if again, _ := write(r.WithNonce("")); again != bare {
		t.Errorf("one that is empty is none: %s", again)
	}
}

// TestNonceRefused: an invalid nonce could end the attribute, or the field.
func TestNonceRefused(t *testing.T) {
	r, err := open(t, build(), asset.Options{}).Release()
	if err != nil {
		t.Fatal(err)
	}
	for _, nonce := range []string{" ", "=", "==", "a===", `a" onload="x`, "a b", "a\r\nSet-Cookie: x", "ä", "a=b"} {
		r := r.WithNonce(nonce)
		_, err := r.Tags()
		w := httptest.NewRecorder()
		err2 := r.Preload(w, httptest.NewRequest("GET", "/", nil))
		importMap, ok := r.Funcs()["assetImportMap"].(func() (template.HTML, error))
		if !ok {
			t.Fatal("no assetImportMap")
		}
		html, err3 := importMap()
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), "want base64") {
				t.Errorf("%q: %v", nonce, err)
			}
		}
		if html != "" || len(w.Header()) > 0 {
			t.Errorf("%q: %s %v", nonce, html, w.Header())
		}
	}
}
