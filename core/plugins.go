package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
)

// areas are the feature areas of the product. They are trusted as the host is: unless
// they are configured otherwise they may do everything and have any route. Nobody else
// may without being granted it.
var areas = []string{"branches", "buckets", "files", "snapshots", "tables", "workspaces"}

// PluginConfig is about one plugin.
type PluginConfig struct {
	// Enabled is true unless said otherwise; a disabled plugin's routes answer 501.
	Enabled *bool `koanf:"enabled"`
	// Path of the executable; default: plugin-<name> in plugin_dir.
	Path string `koanf:"path"`
	// SHA256 that the executable must have, in hex; without one any is run.
	SHA256 string `koanf:"sha256"`
	// Config is what the plugin itself is set to: an object, or a text with a JSON object.
	// Here it is the text. A later config file replaces it as a whole.
	Config string `koanf:"config"`
	// Grants are the permissions that the plugin has beyond its own area, for example
	// sql:read; * is every one.
	Grants []string `koanf:"grants"`
	// Routes are prefixes of paths that its routes may have beyond /x/<name>/, for
	// example {catalog}/reports. A leading {catalog} stands for a project or a branch.
	Routes []string `koanf:"routes"`
	// Reattach is a file that says where the plugin runs already, under a debugger.
	Reattach string `koanf:"reattach"`
}

var (
	pluginName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	digest     = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	grant      = regexp.MustCompile(`^(\*|admin|[a-z][a-z0-9-]*:(read|write|admin))$`)
)

// pluginFaults reports what is wrong with the settings of plugins, and makes paths absolute.
func (c *Config) pluginFaults() []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		p := c.Plugins[name]
		fault := func(setting, format string, args ...any) {
			faults = append(faults, fmt.Errorf("plugins.%s%s %s", name, setting, fmt.Sprintf(format, args...)))
		}
		if !pluginName.MatchString(name) {
			fault("", "is no name of a plugin: lower-case letters, digits and dashes, 40 at most")
		}
		if p.SHA256 != "" && !digest.MatchString(p.SHA256) {
			fault(".sha256", "%q is not a SHA-256 of 64 hex digits (duckdb-storage plugins lock prints them)", p.SHA256)
		}
		if _, err := p.json(); err != nil {
			fault(".config", "must be an object, or a text with a JSON object: %v", err)
		}
		for _, g := range p.Grants {
			if !grant.MatchString(g) {
				fault(".grants", "%q is not <area>:read, <area>:write, <area>:admin, admin or *", g)
			}
		}
		for _, r := range p.Routes {
			if !strings.HasPrefix(r, "/") && r != "{catalog}" && !strings.HasPrefix(r, "{catalog}/") {
				fault(".routes", "%q must begin with / or {catalog}", r)
			}
		}
		for _, path := range []*string{&p.Path, &p.Reattach} {
			if *path == "" {
				continue
			}
			abs, err := filepath.Abs(*path)
			if err != nil {
				faults = append(faults, err)
			}
			*path = abs
		}
		c.Plugins[name] = p
	}
	return faults
}

// json is Config as a JSON object in its shortest form, or nil.
func (p PluginConfig) json() ([]byte, error) {
	if strings.TrimSpace(p.Config) == "" {
		return nil, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(p.Config), &object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("it is null")
	}
	var out bytes.Buffer
	err := json.Compact(&out, []byte(p.Config))
	return out.Bytes(), err
}

// hosting is what the settings say to the host of plugins.
func (c *Config) hosting() pluginhost.Config {
	return pluginhost.Config{Dir: c.PluginDir, Plugins: c.settings(), Defaults: defaultSettings()}
}

// settings are those of the plugins that are configured, as their host takes them.
func (c *Config) settings() map[string]pluginhost.Settings {
	out := map[string]pluginhost.Settings{}
	for name, p := range c.Plugins {
		raw, _ := p.json() // it was validated
		out[name] = trusted(name, pluginhost.Settings{
			Off: p.Enabled != nil && !*p.Enabled, Path: p.Path, SHA256: strings.ToLower(p.SHA256), JSON: raw,
			Grants: p.Grants, Routes: p.Routes, Reattach: p.Reattach,
		})
	}
	return out
}

// defaultSettings are those of the areas of the product that are not configured.
func defaultSettings() map[string]pluginhost.Settings {
	out := map[string]pluginhost.Settings{}
	for _, name := range areas {
		out[name] = trusted(name, pluginhost.Settings{})
	}
	return out
}

// trusted gives an area of the product what the operator did not give it otherwise.
func trusted(name string, s pluginhost.Settings) pluginhost.Settings {
	if !slices.Contains(areas, name) {
		return s
	}
	s.Product = true
	if s.Grants == nil {
		s.Grants = []string{"*"}
	}
	if s.Routes == nil {
		s.Routes = []string{"/"}
	}
	return s
}

// yamlFile parses a config file. Settings of a plugin become a text: their names are
// the plugin's own, and may have dots, which separate ours.
type yamlFile struct{ *yaml.YAML }

func (f yamlFile) Unmarshal(raw []byte) (map[string]any, error) {
	all, err := f.YAML.Unmarshal(raw)
	if err != nil {
		return nil, err
	}
	plugins, _ := all["plugins"].(map[string]any)
	for name, settings := range plugins {
		of, _ := settings.(map[string]any)
		config, given := of["config"]
		if _, isText := config.(string); !given || isText {
			continue
		}
		text, err := json.Marshal(config)
		if err != nil {
			return nil, fmt.Errorf("plugins.%s.config: %w", name, err)
		}
		of["config"] = string(text)
	}
	return all, nil
}

// lists splits a text at its commas where a list is wanted: that is how the
// environment gives one.
func lists(from, to reflect.Type, value any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[[]string]() {
		return value, nil
	}
	items := []string{}
	for _, item := range strings.Split(value.(string), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items, nil
}
