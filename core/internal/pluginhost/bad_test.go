package pluginhost_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// A description that lies is refused with a message that says what is wrong, and what
// to do where the operator can do something. Everything else serves.
func TestDescriptionsThatLie(t *testing.T) {
	t.Parallel()
	config := func(schema string) func(*pluginv1.DescribeResponse) {
		return func(d *pluginv1.DescribeResponse) { d.ConfigSchema = []byte(schema) }
	}
	lies := map[string]struct {
		change   func(*pluginv1.DescribeResponse)
		settings pluginhost.Settings
		want     []string
	}{
		"version": {func(d *pluginv1.DescribeResponse) { d.Version = "1.0" }, pluginhost.Settings{}, []string{`version "1.0" is no semantic version`}},
		"area": {func(d *pluginv1.DescribeResponse) { d.Commands = append(d.Commands, declare("tables.Drop")) }, pluginhost.Settings{},
			[]string{"command tables.Drop: it must be called area.<Operation>"}},
		"twice": {func(d *pluginv1.DescribeResponse) { d.Commands = append(d.Commands, declare("twice.Echo")) }, pluginhost.Settings{},
			[]string{"command twice.Echo is declared twice"}},
		"form":            {first(func(c *pluginv1.Command) { c.Form = 99 }), pluginhost.Settings{}, []string{"its form 99 is not known here"}},
		"effect":          {first(func(c *pluginv1.Command) { c.Effect = 0 }), pluginhost.Settings{}, []string{"its effect 0 is neither read nor write"}},
		"permission-none": {first(func(c *pluginv1.Command) { c.Permission = "" }), pluginhost.Settings{}, []string{`its permission "" is not <area>:read`}},
		"need":            {func(d *pluginv1.DescribeResponse) { d.NeedsPermissions = []string{"sql"} }, pluginhost.Settings{Grants: []string{"sql"}}, []string{`it needs "sql", which is not <area>:read, <area>:write, <area>:admin or admin`}},
		"dots":            {route("GET", "/x/dots/../a", 200), pluginhost.Settings{}, []string{`".." is neither a name nor a {parameter}`}},
		"branch-twice":    {route("GET", "{catalog}/x/branch-twice/{branch}", 200), pluginhost.Settings{}, []string{"{branch} is in {catalog} already"}},
		"permission":      {first(func(c *pluginv1.Command) { c.Permission = "all" }), pluginhost.Settings{}, []string{`its permission "all" is not <area>:read`}},
		"schema": {first(func(c *pluginv1.Command) { c.InputSchema = []byte(`{"type":"objekt"}`) }), pluginhost.Settings{},
			[]string{"command schema.Echo: the input: its schema"}},
		"schema-json": {first(func(c *pluginv1.Command) { c.InputSchema = []byte(`{`) }), pluginhost.Settings{}, []string{"its schema is no JSON"}},
		"schema-any":  {first(func(c *pluginv1.Command) { c.InputSchema = []byte(`true`) }), pluginhost.Settings{}, []string{`must have "type": "object"`}},
		"schema-out": {first(func(c *pluginv1.Command) { c.OutputSchema = []byte(`{"type":1}`) }), pluginhost.Settings{},
			[]string{"command schema-out.Echo: the answer: its schema"}},
		"schema-file": {first(func(c *pluginv1.Command) { c.InputSchema = []byte(`{"type":"object","$ref":"file:///etc/passwd"}`) }), pluginhost.Settings{},
			[]string{"the input: its schema"}},
		"schema-deep": {first(func(c *pluginv1.Command) {
			c.InputSchema = []byte(`{"type":"object","not":` + strings.Repeat(`{"not":`, 4000) + `{}` + strings.Repeat(`}`, 4001))
		}), pluginhost.Settings{}, []string{"command schema-deep.Echo: the input: its schema nests deeper than 100"}},
		"schema-number": {first(func(c *pluginv1.Command) {
			c.InputSchema = []byte(`{"type":"object","properties":{"a":{"maximum":1e9999999}}}`)
		}), pluginhost.Settings{}, []string{"the input: its schema: /properties/a/maximum: the number is out of range"}},
		"parameter": {first(func(c *pluginv1.Command) {
			c.Parameters = []*pluginv1.Parameter{{Name: "a", Location: pluginv1.Location_LOCATION_QUERY}, {Name: "a", Location: pluginv1.Location_LOCATION_PATH}}
		}), pluginhost.Settings{}, []string{`command parameter.Echo: its parameter "a" is declared twice`}},
		"method":   {route("FETCH", "/x/method/echo", 200), pluginhost.Settings{}, []string{"route FETCH /x/method/echo: the method is not GET, POST, PUT, DELETE"}},
		"status":   {route("GET", "/x/status/echo", 418), pluginhost.Settings{}, []string{"the status 418"}},
		"relative": {route("GET", "x/relative/echo", 200), pluginhost.Settings{}, []string{"the path must begin with / or {catalog}/"}},
		"hole":     {route("GET", "/x/hole//echo", 200), pluginhost.Settings{}, []string{`"" is neither a name nor a {parameter}`}},
		"half":     {route("GET", "/x/half/a{id}", 200), pluginhost.Settings{}, []string{`"a{id}" is neither a name nor a {parameter}`}},
		"unknown":  {route("GET", "/x/unknown/{id}", 200), pluginhost.Settings{}, []string{"{id} is no path parameter of the command"}},
		"same":     {route("GET", "/x/same/{project}/{project}", 200), pluginhost.Settings{}, []string{"{project} is in it twice"}},
		"elsewhere": {route("GET", "{catalog}/tables", 200), pluginhost.Settings{},
			[]string{"it may be below /x/elsewhere, {catalog}/x/elsewhere only", `plugins: {elsewhere: {routes: ["{catalog}/tables"]}}`}},
		"neighbour": {route("GET", "/x/neighbours/echo", 200), pluginhost.Settings{}, []string{"it may be below /x/neighbour,"}},
		"granted":   {route("GET", "/reporting/echo", 200), pluginhost.Settings{Routes: []string{"/report"}}, []string{"below /x/granted, {catalog}/x/granted, /report only"}},
		"reserved":  {route("GET", "/admin/plugins/mine", 200), pluginhost.Settings{Routes: []string{"/"}}, []string{"/admin is the host's own"}},
		"event": {func(d *pluginv1.DescribeResponse) {
			d.Events = []*pluginv1.Event{{Name: "tables.Dropped", Schema: []byte(`{"type":"object"}`)}}
		}, pluginhost.Settings{}, []string{`event "tables.Dropped" must be called event.<Fact>`}},
		"event-schema": {func(d *pluginv1.DescribeResponse) {
			d.Events = []*pluginv1.Event{{Name: "event-schema.Done", Schema: []byte(`{`)}}
		}, pluginhost.Settings{}, []string{"event event-schema.Done: its schema is no JSON"}},
		"event-file": {func(d *pluginv1.DescribeResponse) {
			d.Events = []*pluginv1.Event{{Name: "event-file.Done", Schema: []byte(`{"type":"object","$ref":"file:///etc/passwd"}`)}}
		}, pluginhost.Settings{}, []string{"event event-file.Done: its schema"}},
		"event-http": {func(d *pluginv1.DescribeResponse) {
			d.Events = []*pluginv1.Event{{Name: "event-http.Done", Schema: []byte(`{"type":"object","$ref":"http://127.0.0.1/"}`)}}
		}, pluginhost.Settings{}, []string{"event event-http.Done: its schema"}},
		"constraint": {func(d *pluginv1.DescribeResponse) {
			d.Dependencies = []*pluginv1.Dependency{{Plugin: "good", Versions: "about 1"}}
		}, pluginhost.Settings{}, []string{`constraint "about 1", which is none`}},
		"itself": {func(d *pluginv1.DescribeResponse) { d.Dependencies = []*pluginv1.Dependency{{Plugin: "itself"}} }, pluginhost.Settings{},
			[]string{"it depends on itself"}},
		"feature": {func(d *pluginv1.DescribeResponse) { d.NeedsFeatures = []string{"jobs", "teleport"} }, pluginhost.Settings{},
			[]string{`it needs the feature "teleport", which this host does not have (it has transact, jobs,`, "upgrade the host"}},
		"needs": {func(d *pluginv1.DescribeResponse) {
			d.NeedsPermissions = []string{"sql:read", "needs:write", "tables:write"}
		}, pluginhost.Settings{Grants: []string{"sql:read"}},
			[]string{"it needs tables:write, which is not granted", `plugins: {needs: {grants: ["sql:read","tables:write"]}}`}},
		"config-schema": {config(`{`), pluginhost.Settings{}, []string{"the settings: its schema is no JSON"}},
		"no-settings":   {func(*pluginv1.DescribeResponse) {}, pluginhost.Settings{JSON: []byte(`{"a":1}`)}, []string{"it has no settings: remove plugins.no-settings.config"}},
		"settings": {config(`{"type":"object","properties":{"limit":{"type":"integer"},"inner":{"type":"object","required":["key"]}},"additionalProperties":false}`),
			pluginhost.Settings{JSON: []byte(`{"limit":"5","inner":{},"more":1}`)},
			[]string{"plugins.settings.config/inner/key: is required", "plugins.settings.config/limit: got string, want integer", "plugins.settings.config/more: unknown field"}},
		"two-shapes": {config(`{"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]}`), pluginhost.Settings{JSON: []byte(`{"a":1,"b":2}`)},
			[]string{"plugins.two-shapes.config: 'oneOf' failed, subschemas 0, 1 matched"}},
		"unset": {config(`{"type":"object","required":["url"]}`), pluginhost.Settings{}, []string{"plugins.unset.config/url: is required"}},
	}
	i := installed(t)
	i.install(describing("good"))
	for name, lie := range lies {
		i.install(describing(name, lie.change))
		i.cfg.Plugins[name] = lie.settings
	}
	i.open()
	for name, lie := range lies {
		s := i.plugin(name)
		if s.State != "failed" || !strings.HasPrefix(s.Detail, "plugin "+name+": ") {
			t.Errorf("state is %s, detail %s", s.State, s.Detail)
		}
		contains(t, s.Detail, lie.want...)
		contains(t, i.log.String(), `"plugin":"`+name+`"`)
	}
	if err := i.echo(t.Context(), "good"); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

// What is wrong with an executable is said before anything of it runs.
func TestExecutablesThatDoNotRun(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("good"))
	i.install(describing("other"))
	i.install(describing("refusing", func(d *pluginv1.DescribeResponse) { d.ConfigSchema = []byte(`{"type":"object"}`) }), plays{Refuse: "the licence is over"})
	i.install(describing("dying"), plays{Exit: 3})
	i.write("plugin-text", []byte("no program"))
	i.write("plugin-liar", i.binary(describing("good")))
	i.write("plugin-good.bak", []byte("is not one"))
	if err := os.WriteFile(filepath.Join(i.dir, "plugin-plain"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(i.dir, "plugin-pipe"), 0o700); err != nil {
		t.Fatal(err)
	}
	i.write("plugin-huge", nil)
	if err := os.Truncate(filepath.Join(i.dir, "plugin-huge"), 2<<30); err != nil {
		t.Fatal(err)
	}
	wrong := strings.Repeat("0", 64)
	i.cfg.Plugins["other"] = pluginhost.Settings{SHA256: wrong}
	i.cfg.Plugins["missing"] = pluginhost.Settings{}
	i.cfg.Plugins["gone"] = pluginhost.Settings{Path: "/nowhere/plugin"}
	i.cfg.Plugins["attached"] = pluginhost.Settings{Reattach: "/nowhere/reattach.json"}
	i.open()
	digest, err := pluginhost.Digest(filepath.Join(i.dir, "plugin-other"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"other":    {"plugin-other has SHA-256 " + digest, "plugins.other.sha256 wants " + wrong, "plugins lock", "restore the file"},
		"missing":  {"there is no executable " + filepath.Join(i.dir, "plugin-missing"), "install it, set plugins.missing.path, or remove plugins.missing"},
		"gone":     {"there is no executable /nowhere/plugin"},
		"plain":    {"plugin-plain is not executable: chmod +x it"},
		"pipe":     {"plugin-pipe is not a file"},
		"huge":     {"plugin-huge has 2147483648 bytes, more than the 1073741824 that a plugin may have"},
		"text":     {filepath.Join(i.dir, "plugin-text") + " cannot be started", "no program for this machine"},
		"liar":     {`describes itself as "good"`, "Set the path"},
		"dying":    {"exit status 3", "told to exit", filepath.Join(i.dir, "plugin-dying")},
		"refusing": {"the licence is over", "plugins.refusing.config"},
		"attached": {"plugins.attached.reattach", "--debug", "no such file"},
	} {
		s := i.plugin(name)
		if s.State != "failed" {
			t.Errorf("%s is %s", name, s.State)
		}
		contains(t, s.Detail, append(want, "plugin "+name)...)
	}
	if n := len(i.Plugins()); n != 12 {
		t.Errorf("there are %d plugins: %+v", n, i.Plugins())
	}
	if err := i.echo(t.Context(), "good"); err != nil {
		t.Error(err)
	}
	// It described itself, so its command is known; nobody is told why it does not run.
	err = i.echo(t.Context(), "refusing")
	e := problem(t, err)
	if !errors.Is(err, sdk.ErrPluginDown) || e.Retryable || e.Meta["plugin"] != "refusing" || e.Meta["command"] != "refusing.Echo" || strings.Contains(e.Detail, "licence") {
		t.Errorf("got %+v", e)
	}
	// Of the others nobody knows what they would have had.
	for path, want := range map[string]error{
		"/x/text/a/b": sdk.ErrPluginDown, "/projects/1/x/liar": sdk.ErrPluginDown, "/projects/1/branches/b/x/other/a": sdk.ErrPluginDown,
		"/x/good/none": nil, "/x/refusing/none": nil, "/x/texts": nil, "/projects/1/tables": nil,
	} {
		if err := i.Unrouted(path); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
}

// Of two that claim one thing the area of the product wins, whatever its name, and the
// other is left out whole.
func TestConflictsBetweenPlugins(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("area", route("GET", "{catalog}/shared", 200)))
	third := describing("a", route("GET", "/projects/{branch}/shared", 200), first(func(c *pluginv1.Command) {
		c.Routes = append(c.Routes, &pluginv1.Route{Method: "POST", Path: "/mine", Status: 200}, &pluginv1.Route{Method: "GET", Path: "/projects/{project}/shared", Status: 200})
	}))
	i.install(third)
	i.install(describing("b", route("POST", "/mine", 200)))
	i.install(describing("c", route("POST", "/mine", 200)))
	i.cfg.Defaults = map[string]pluginhost.Settings{"area": {Product: true, Routes: []string{"/"}}}
	for _, name := range []string{"a", "b", "c"} {
		i.cfg.Plugins[name] = pluginhost.Settings{Routes: []string{"/"}}
	}
	i.open()
	contains(t, i.plugin("a").Detail, "plugin a: ", "is declared twice")
	contains(t, i.plugin("c").Detail, "plugin c: route POST /mine belongs to command b.Echo of plugin b", "one of the two must go")
	for name, want := range map[string]bool{"area": true, "b": true, "a": false, "c": false} {
		if err := i.echo(t.Context(), name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	third.Commands[0].Routes = third.Commands[0].Routes[:2]
	i.install(third)
	if err := i.Reload(t.Context(), i.cfg); err != nil {
		t.Fatal(err)
	}
	// It lost against the product, so b, which came later by name, has what it wanted.
	contains(t, i.plugin("a").Detail, "route GET /projects/{branch}/shared belongs to command area.Echo of plugin area")
	if err := i.echo(t.Context(), "b"); err != nil {
		t.Error(err)
	}
}

// A plugin without another that it cannot do without is not loaded, and says which; one
// that only works with it is.
func TestDependencies(t *testing.T) {
	t.Parallel()
	needing := func(plugin, versions string, optional bool) func(*pluginv1.DescribeResponse) {
		return func(d *pluginv1.DescribeResponse) {
			d.Dependencies = []*pluginv1.Dependency{{Plugin: plugin, Versions: versions, Optional: optional}}
		}
	}
	i := installed(t)
	i.install(describing("base"))
	i.install(describing("broken", func(d *pluginv1.DescribeResponse) { d.Version = "one" }))
	i.install(describing("pre", func(d *pluginv1.DescribeResponse) { d.Version = "1.0.0-rc.1" }))
	for name, change := range map[string]func(*pluginv1.DescribeResponse){
		"fits": needing("base", ">= 1.2, < 2", false), "fits-pre": needing("pre", ">= 1.0", false),
		"old": needing("base", ">= 2", false), "old-optional": needing("base", ">= 2", true),
		"none": needing("absent", "", false), "none-optional": needing("absent", "", true),
		"fails": needing("broken", "", false), "chain": needing("fails", "", false), "fails-optional": needing("broken", "", true),
	} {
		i.install(describing(name, change))
	}
	i.open()
	for name, want := range map[string]string{
		"fits": "", "fits-pre": "", "none-optional": "", "fails-optional": "",
		"old":          "plugin old: it works with plugin base >= 2, and the one here is 1.2.3: install one that fits",
		"old-optional": "plugin old-optional: it works with plugin base >= 2, and the one here is 1.2.3: install one that fits",
		"none":         "plugin none: it requires plugin absent, which is not installed: install it",
		"fails":        "plugin fails: it requires plugin broken, which could not be loaded: repair that first",
		"chain":        "plugin chain: it requires plugin fails, which could not be loaded: repair that first",
	} {
		if got := i.plugin(name).Detail; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// That a plugin is switched off which another cannot do without is a contradiction, and
// both are named.
func TestADependencyThatIsOff(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("base"))
	i.install(describing("needy", func(d *pluginv1.DescribeResponse) { d.Dependencies = []*pluginv1.Dependency{{Plugin: "base"}} }))
	i.install(describing("easy", func(d *pluginv1.DescribeResponse) {
		d.Dependencies = []*pluginv1.Dependency{{Plugin: "base", Optional: true}}
	}))
	i.cfg.Plugins["base"] = pluginhost.Settings{Off: true}
	const want = "plugin needy requires plugin base, which is disabled: enable base, or disable needy as well"
	if h, err := pluginhost.Open(t.Context(), i.cfg); err == nil {
		_ = h.Close(t.Context())
		t.Error("it is opened")
	} else {
		contains(t, err.Error(), want)
	}
	i.cfg.Plugins["needy"] = pluginhost.Settings{Off: true}
	i.open()
	if err := i.echo(t.Context(), "easy"); err != nil {
		t.Error(err)
	}
	// Switching on is refused as well, and changes nothing.
	err := i.Enable(t.Context(), "needy")
	if !errors.Is(err, pluginhost.ErrRefused) {
		t.Fatalf("got %v", err)
	}
	contains(t, err.Error(), "nothing was changed", want)
	if s := i.plugin("needy"); s.State != pluginhost.StateDisabled {
		t.Errorf("it is %s", s.State)
	}
	if err := errors.Join(i.Enable(t.Context(), "base"), i.Enable(t.Context(), "needy")); err != nil {
		t.Fatal(err)
	}
	err = i.Disable(t.Context(), "base")
	if !errors.Is(err, pluginhost.ErrRefused) || i.echo(t.Context(), "base") != nil {
		t.Errorf("got %v", err)
	}
}

// Hooks and subscriptions take what the commands and events take that they are about.
func TestHooksAndSubscriptionsAreChecked(t *testing.T) {
	t.Parallel()
	hooking := func(commands ...string) func(*pluginv1.DescribeResponse) {
		return func(d *pluginv1.DescribeResponse) {
			for _, c := range commands {
				d.Hooks = append(d.Hooks, &pluginv1.Hook{Command: c})
			}
		}
	}
	hearing := func(events ...string) func(*pluginv1.DescribeResponse) {
		return func(d *pluginv1.DescribeResponse) { d.Subscriptions = events }
	}
	i := installed(t)
	i.install(describing("base", func(d *pluginv1.DescribeResponse) {
		write := declare("base.Write")
		write.Permission = "base:write"
		d.Commands = append(d.Commands, write)
		d.Events = []*pluginv1.Event{{Name: "base.Done", Schema: []byte(`{"type":"object"}`)}}
	}))
	i.install(describing("open"))
	i.install(describing("off", hooking("absent.Do", "off.Echo"), hearing("absent.Done")))
	i.install(describing("hook-open", hooking("open.Echo", "core.Do")))
	i.install(describing("hook-open-granted", hooking("open.Echo", "core.Do")))
	i.install(describing("hook", hooking("base.Write")))
	i.install(describing("hook-granted", hooking("base.Write", "hook-granted.Echo")))
	i.install(describing("hook-none", hooking("base.Nothing")))
	i.install(describing("hear", hearing("base.Done")))
	i.install(describing("hear-granted", hearing("base.Done")))
	i.install(describing("hear-none", hearing("base.Never")))
	i.cfg.Plugins["hook-granted"] = pluginhost.Settings{Grants: []string{"base:write"}}
	i.cfg.Plugins["hear-granted"] = pluginhost.Settings{Grants: []string{"base:read"}}
	i.cfg.Plugins["hook-open-granted"] = pluginhost.Settings{Grants: []string{"open:write", "core:write"}}
	own := sdk.New("core", "1.0.0")
	sdk.Handle(own, command[output]("core.Do"), func(*sdk.Context, input) (output, error) { return output{}, nil }, sdk.Permission(sdk.AnyKey))
	i.openWith(own)
	ungranted := func(plugin, command, permission string) string {
		return fmt.Sprintf(`it hooks on %s, which is not granted; if you trust it with that, add to the configuration: plugins: {%s: {grants: [%q]}}`, command, plugin, permission)
	}
	for name, want := range map[string]string{
		"off": "", "hook-granted": "", "hear-granted": "", "hook-open-granted": "",
		"hook-open": "plugin hook-open: " + strings.Join([]string{
			ungranted("hook-open", "open.Echo", "open:write"), ungranted("hook-open", "core.Do", "core:write"),
		}, "; "),
		"hook":      `plugin hook: it hooks on base.Write, which is not granted; if you trust it with that, add to the configuration: plugins: {hook: {grants: ["base:write"]}}`,
		"hook-none": "plugin hook-none: it hooks on base.Nothing, and plugin base has no such command: install releases that fit",
		"hear":      `plugin hear: it subscribes to base.Done, which is not granted; if you trust it with that, add to the configuration: plugins: {hear: {grants: ["base:read"]}}`,
		"hear-none": "plugin hear-none: it subscribes to base.Never, and plugin base has no such event: install releases that fit",
	} {
		if got := i.plugin(name).Detail; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
