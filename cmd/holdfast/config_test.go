package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestParseConfig(t *testing.T) {
	keys := []string{"data", "listen", "memory", "debug-headers"}
	tests := []struct {
		name, text string
		want       map[string]string
		err        string
	}{
		{"empty", "", map[string]string{}, ""},
		{"comments alone", "# nothing\n", map[string]string{}, ""},
		{"one", "data: /var/lib/holdfast\n", map[string]string{"data": "/var/lib/holdfast"}, ""},
		{"several", "listen: \":80\"\nmemory: 1GiB # much\ndebug-headers: true\n", map[string]string{"listen": ":80", "memory": "1GiB", "debug-headers": "true"}, ""},
		{"number", "memory: 4096\n", map[string]string{"memory": "4096"}, ""},
		{"unknown", "data: x\n\nport: 80\n", nil, `f.yaml:3: unknown key "port"`},
		{"twice", "data: x\ndata: y\n", nil, ""},
		{"nested", "data:\n  x: y\n", nil, "f.yaml:1: data wants one value, not a mapping"},
		{"section", "debug:\n  headers: true\ndata: x\n", map[string]string{"debug-headers": "true", "data": "x"}, ""},
		{"section, unknown", "debug:\n  heads: true\n", nil, `f.yaml:2: unknown key "debug-heads"`},
		{"section, twice", "debug-headers: true\ndebug:\n  headers: true\n", nil, `f.yaml:3: key "debug-headers" stands there twice`},
		{"list", "- data\n", nil, `f.yaml:1: want lines such as "data: /var/lib/holdfast"`},
		{"text", "data\n", nil, `f.yaml:1: want lines such as "data: /var/lib/holdfast"`},
		{"nothing", "data:\n", nil, "f.yaml:1: data wants one value, not a null"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseConfig("f.yaml", []byte(tt.text), keys)
			if tt.want == nil {
				if err == nil || tt.err != "" && err.Error() != tt.err {
					t.Fatalf("error = %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			texts := map[string]string{}
			for key, s := range got {
				texts[key] = s.text
			}
			if diff := cmp.Diff(tt.want, texts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{"", "data: x", "data:\n  - x", "- a", "data: &a x\nlisten: *a", "%YAML 1.2\n---\ndata: x\n---\ndata: y", "? a\n: b", "data: !!int 3", "\t", "<<: {data: x}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseConfig("f.yaml", []byte(text), []string{"data", "listen"})
		if err != nil && settings != nil {
			t.Error("both settings and an error")
		}
	})
}

func TestEnvironmentSetsFlags(t *testing.T) {
	env := map[string]string{"HOLDFAST_MEMORY": "1GiB", "HOLDFAST_TLS_CERT": "c.pem", "HOLDFAST_PORT": "tcp://10.0.0.1:80", "HOLDFAST_DATA": t.TempDir()}
	c := &cli{env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	t.Chdir(t.TempDir())
	serve, _, err := c.rootCommand().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.ParseFlags([]string{"--memory", "2GiB"}); err != nil {
		t.Fatal(err)
	}
	if err := c.configure(serve); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	serve.Flags().VisitAll(func(f *pflag.Flag) { got[f.Name] = f.Value.String() })
	for name, want := range map[string]string{"memory": "2GiB", "tls-cert": "c.pem", "data": env["HOLDFAST_DATA"], "listen": ":8080"} {
		if got[name] != want {
			t.Errorf("--%s is %q, want %q", name, got[name], want)
		}
	}
}
