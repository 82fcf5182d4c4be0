package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// defaultConfig is read if it exists and --config names no other.
const defaultConfig = "holdfast.yaml"

// configurableKey marks the flags that the environment and the file may set.
const configurableKey = "holdfast-configurable"

// configurable lets the environment and the configuration file set flags. The
// flag "tls-cert" is HOLDFAST_TLS_CERT there, and the key tls-cert.
func configurable(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := flags.SetAnnotation(name, configurableKey, nil); err != nil {
			panic(err) // the flag was not defined: a mistake in this program
		}
	}
}

func isConfigurable(f *pflag.Flag) bool {
	_, ok := f.Annotations[configurableKey]
	return ok
}

// configure fills the flags of cmd that the command line left out: from the
// environment, else from the file. Other variables that start with HOLDFAST_ are
// no error: orchestrators set such for a service that has our name.
func (c *cli) configure(cmd *cobra.Command) error {
	file, err := c.readConfig(cmd.Root())
	if err != nil {
		return usageError{err}
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || !isConfigurable(f) {
			return
		}
		variable := "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if text, ok := c.env(variable); ok && text != "" {
			failed = setFlag(f, text, variable+"="+text)
		} else if s, ok := file[f.Name]; ok {
			failed = setFlag(f, s.text, s.where)
		}
	})
	return failed
}

func setFlag(f *pflag.Flag, text, where string) error {
	if err := f.Value.Set(text); err != nil {
		return usage("%s: %w", where, err)
	}
	return nil
}

// setting is a value in the configuration file, with its position.
type setting struct{ text, where string }

// readConfig returns the settings of the configuration file by their keys.
func (c *cli) readConfig(root *cobra.Command) (map[string]setting, error) {
	name := c.global.config
	if text, ok := c.env("HOLDFAST_CONFIG"); ok && name == "" {
		name = text
	}
	named := name != ""
	if !named {
		name = defaultConfig
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parseConfig(name, text, configKeys(root))
}

// configKeys returns the names of all flags that the file may set, sorted.
func configKeys(cmd *cobra.Command) []string {
	var keys []string
	collect := func(f *pflag.Flag) {
		if isConfigurable(f) {
			keys = append(keys, f.Name)
		}
	}
	cmd.PersistentFlags().VisitAll(collect)
	cmd.Flags().VisitAll(collect)
	for _, sub := range cmd.Commands() {
		keys = append(keys, configKeys(sub)...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// parseConfig reads a YAML mapping of the given keys to scalars. Keys that begin alike
// may stand in a section: listen in the section peer is peer-listen.
func parseConfig(name string, text []byte, keys []string) (map[string]setting, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", name, err)
	}
	c := configFile{name, keys, make(map[string]setting)}
	for _, doc := range file.Docs {
		entries, err := mapping(doc.Body)
		if err != nil {
			return nil, fmt.Errorf("%s:%w", name, err)
		}
		for _, e := range entries {
			if err := c.entry("", e); err != nil {
				return nil, err
			}
		}
	}
	return c.settings, nil
}

// configFile is a file that is being read.
type configFile struct {
	name     string
	keys     []string
	settings map[string]setting
}

// entry reads an entry of the section whose keys begin with prefix.
func (c configFile) entry(prefix string, e *ast.MappingValueNode) error {
	key := prefix + e.Key.GetToken().Value
	where := fmt.Sprintf("%s:%d: ", c.name, e.Key.GetToken().Position.Line)
	if section := key + "-"; slices.ContainsFunc(c.keys, func(k string) bool { return strings.HasPrefix(k, section) }) {
		if entries, err := mapping(e.Value); err == nil && len(entries) > 0 {
			for _, e := range entries {
				if err := c.entry(section, e); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if !slices.Contains(c.keys, key) {
		return hinted(fmt.Errorf("%sunknown key %q", where, key), "%sthe keys are %s", meant("", nearest(key, c.keys)), prose(c.keys, "and"))
	}
	if _, twice := c.settings[key]; twice {
		return fmt.Errorf("%skey %q stands there twice", where, key)
	}
	scalar, ok := e.Value.(ast.ScalarNode)
	if !ok || scalar.GetValue() == nil {
		return fmt.Errorf("%s%s wants one value, not a %s", where, key, strings.ToLower(e.Value.Type().YAMLName()))
	}
	c.settings[key] = setting{fmt.Sprint(scalar.GetValue()), where + key}
	return nil
}

// mapping returns the entries of a document, which may be empty.
func mapping(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case nil, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf("%d: want lines such as \"data: /var/lib/holdfast\"", body.GetToken().Position.Line)
}
