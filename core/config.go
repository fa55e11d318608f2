package core

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/hashicorp/go-hclog"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// envPrefix starts the name of every environment variable that is a setting.
const envPrefix = "DUCKDB_STORAGE_"

// Config is everything an operator can set. LoadConfig fills it from flags over
// environment over file over defaults.
type Config struct {
	// Listen is the address of the API, for example 127.0.0.1:8080. Port 0 takes
	// a free one.
	Listen string `koanf:"listen"`
	// DataDir holds everything that must survive.
	DataDir string `koanf:"data_dir"`
	// PluginDir holds executables called plugin-<name>.
	PluginDir string `koanf:"plugin_dir"`
	// RuntimeDir takes a folder with the sockets and pipes of this run; at most 48
	// bytes long, because the paths of sockets are short. Default: the data
	// directory, or the system's temporary folder when that path is too long.
	RuntimeDir string `koanf:"runtime_dir"`
	// AdminKey opens everything. Without one the first start makes and shows it.
	AdminKey string `koanf:"admin_key"`
	// MinFree is how much space must be free for the data, and as much for what DuckDB
	// spills, for the service to be fit, for example 20GB. Default: 1GiB.
	MinFree string `koanf:"min_free"`
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string `koanf:"log_level"`
	// CoreDumps lets the kernel write core dumps of the service, and debuggers of its user
	// attach. Then whatever runs as that user, plugins among it, can read its memory and
	// its environment with the admin key. Linux only; elsewhere it is always so.
	CoreDumps bool `koanf:"core_dumps"`
	// ShutdownTimeout is how long running requests may take to end, and calls that run
	// in a plugin that goes away.
	ShutdownTimeout time.Duration `koanf:"shutdown_timeout"`

	HTTP    HTTPConfig              `koanf:"http"`
	Engine  EngineConfig            `koanf:"engine"`
	Queue   QueueConfig             `koanf:"queue"`
	Jobs    JobsConfig              `koanf:"jobs"`
	Audit   AuditConfig             `koanf:"audit"`
	Plugins map[string]PluginConfig `koanf:"plugins"`

	again func() (Config, error) // reads the settings once more
}

// HTTPConfig bounds what clients may hold.
type HTTPConfig struct {
	// WriteTimeout is how long a client may take for 256 KiB of an answer; then its
	// connection is broken off.
	WriteTimeout time.Duration `koanf:"write_timeout"`
}

// EngineConfig bounds DuckDB.
type EngineConfig struct {
	// MemoryLimit of all open projects together, for example 8GB or 500MiB; at
	// least 256MiB. Default: 75 % of what the process may use, which is the memory of
	// the machine or of the container.
	MemoryLimit string `koanf:"memory_limit"`
	// Threads of each open project; default: one for each core.
	Threads int `koanf:"threads"`
	// Idle is how long a project stays open that nobody uses.
	Idle time.Duration `koanf:"idle"`
	// MaxOpen is how many projects stay open; one that is in use is never closed.
	MaxOpen int `koanf:"max_open"`
	// MaxReads is how many small reads run at a time, of all projects. Default: 4 for
	// each core, at least 8.
	MaxReads int `koanf:"max_reads"`
	// MaxStreams is how many streams and exports run at a time, of all projects.
	// Default: 4 for each core, at least 16.
	MaxStreams int `koanf:"max_streams"`
	// TempDir takes a folder with what DuckDB spills. Default: the data directory.
	TempDir string `koanf:"temp_dir"`
	// TempLimit is how much each open project may spill, for example 50GB. Default:
	// 90 % of the free space.
	TempLimit string `koanf:"temp_limit"`
}

// QueueConfig bounds the write queue of each project.
type QueueConfig struct {
	Length int           `koanf:"length"` // waiting writes; more are answered with 429
	Wait   time.Duration `koanf:"wait"`   // of each; then it is answered with 503
}

// JobsConfig bounds what runs in the background.
type JobsConfig struct {
	// Workers is how many jobs run at a time, of all projects. Default: 4 for each core,
	// at least 8.
	Workers int `koanf:"workers"`
	// Waiting is how many more may wait; more are answered with 429.
	Waiting int `koanf:"waiting"`
	// Keep is how long a job is remembered that is done.
	Keep time.Duration `koanf:"keep"`
}

func (c JobsConfig) faults() []error {
	if c.Workers < 0 || c.Waiting < 1 || c.Keep <= 0 {
		return []error{errors.New("jobs.workers must not be negative; jobs.waiting and jobs.keep must be positive")}
	}
	return nil
}

// AuditConfig bounds what is remembered of writes.
type AuditConfig struct {
	// Keep is how long; at least an hour.
	Keep time.Duration `koanf:"keep"`
}

func (c AuditConfig) faults() []error {
	if c.Keep < time.Hour {
		return []error{fmt.Errorf("audit.keep %s is less than an hour", c.Keep)}
	}
	return nil
}

func defaults() map[string]any {
	return map[string]any{
		"listen": "127.0.0.1:8080", "data_dir": "./data", "plugin_dir": "bin/plugins", "runtime_dir": "",
		"admin_key": "", "min_free": "", "log_level": "info", "core_dumps": false, "shutdown_timeout": "30s", "http.write_timeout": "1m",
		"engine.memory_limit": "", "engine.threads": 0, "engine.idle": "10m", "engine.max_open": 100, "engine.max_reads": 0, "engine.max_streams": 0,
		"engine.temp_dir": "", "engine.temp_limit": "",
		"queue.length": 1000, "queue.wait": "10m",
		"jobs.workers": 0, "jobs.waiting": 10000, "jobs.keep": "168h", "audit.keep": "2160h",
	}
}

// LoadConfig reads the settings. paths are config files (YAML), later ones over earlier
// ones; flags holds those that were given, by their key in the file. It reports every
// fault at once, and an unknown setting is one: a typo must not be a default.
func LoadConfig(paths []string, flags map[string]any) (Config, error) {
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(defaults(), "."), nil); err != nil {
		return Config{}, err
	}
	for _, path := range paths {
		if err := k.Load(file.Provider(path), yamlFile{yaml.Parser()}); err != nil {
			return Config{}, fmt.Errorf("read the config file %s: %w", path, err)
		}
	}
	fromEnv := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, value string) (string, any) {
		return settingOf(name), value
	}})
	if err := k.Load(fromEnv, nil); err != nil {
		return Config{}, err
	}
	if err := k.Load(confmap.Provider(flags, "."), nil); err != nil {
		return Config{}, err
	}
	var cfg Config
	var found mapstructure.Metadata
	err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &cfg, TagName: "koanf", WeaklyTypedInput: true, Metadata: &found,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), lists),
	}})
	var faults []error
	if err != nil {
		faults = append(faults, fmt.Errorf("the configuration is not valid: %s", strings.Join(strings.Fields(err.Error()), " ")))
	}
	for _, key := range found.Unused {
		faults = append(faults, fmt.Errorf("unknown setting %s", key))
	}
	if len(faults) > 0 {
		return Config{}, errors.Join(faults...)
	}
	cfg.again = func() (Config, error) { return LoadConfig(paths, flags) }
	return cfg, cfg.validate()
}

// settingOf is the setting that a variable of the environment stands for. A shell
// takes no dash in its name, and a plugin's name has no underscore.
func settingOf(variable string) string {
	parts := strings.Split(strings.ToLower(strings.TrimPrefix(variable, envPrefix)), "__")
	if len(parts) > 1 && parts[0] == "plugins" {
		parts[1] = strings.ReplaceAll(parts[1], "_", "-")
	}
	return strings.Join(parts, ".")
}

func (c *Config) validate() error {
	var faults []error
	for _, dir := range []*string{&c.DataDir, &c.PluginDir, &c.RuntimeDir, &c.Engine.TempDir} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			faults = append(faults, err)
		}
		*dir = abs
	}
	if c.DataDir == "" {
		faults = append(faults, errors.New("data_dir must not be empty"))
	}
	if len(c.AdminKey) > 0 && len(c.AdminKey) < minKeyLength {
		faults = append(faults, fmt.Errorf("admin_key must have at least %d characters", minKeyLength))
	}
	if hclog.LevelFromString(c.LogLevel) == hclog.NoLevel {
		faults = append(faults, fmt.Errorf("log_level %q is not trace, debug, info, warn or error", c.LogLevel))
	}
	if _, ok := parseSize(c.MinFree); !ok {
		faults = append(faults, fmt.Errorf("min_free %q is not a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB", c.MinFree))
	}
	if c.Queue.Length < 1 || c.Queue.Wait <= 0 {
		faults = append(faults, errors.New("queue.length and queue.wait must be positive"))
	}
	faults = append(faults, c.Engine.faults()...)
	faults = append(faults, c.pluginFaults()...)
	faults = append(faults, c.Jobs.faults()...)
	faults = append(faults, c.Audit.faults()...)
	if c.ShutdownTimeout <= 0 {
		faults = append(faults, errors.New("shutdown_timeout must be positive"))
	}
	if c.HTTP.WriteTimeout <= 0 {
		faults = append(faults, errors.New("http.write_timeout must be positive"))
	}
	return errors.Join(faults...)
}

// differs names the settings, by their first part, in which another configuration
// differs and which a reload does not apply.
func (c *Config) differs(other Config) []string {
	var names []string
	a, b := reflect.ValueOf(*c), reflect.ValueOf(other)
	for i := range a.NumField() {
		name, isSetting := a.Type().Field(i).Tag.Lookup("koanf")
		if isSetting && name != "plugins" && name != "plugin_dir" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, name)
		}
	}
	return names
}

func (c EngineConfig) faults() []error {
	var faults []error
	for _, size := range []struct{ name, text string }{{"memory_limit", c.MemoryLimit}, {"temp_limit", c.TempLimit}} {
		if _, ok := parseSize(size.text); !ok {
			faults = append(faults, fmt.Errorf("engine.%s %q is not a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB", size.name, size.text))
		}
	}
	if bytes, ok := parseSize(c.MemoryLimit); ok && c.MemoryLimit != "" && bytes < minMemory {
		faults = append(faults, fmt.Errorf("engine.memory_limit %q is less than %dMiB", c.MemoryLimit, minMemory>>20))
	}
	if c.Threads < 0 || c.MaxReads < 0 || c.MaxStreams < 0 {
		faults = append(faults, errors.New("engine.threads, engine.max_reads and engine.max_streams must not be negative"))
	}
	if c.Idle <= 0 || c.MaxOpen < 1 {
		faults = append(faults, errors.New("engine.idle and engine.max_open must be positive"))
	}
	return faults
}

// minKeyLength keeps an operator from an admin key that can be guessed.
const minKeyLength = 16
