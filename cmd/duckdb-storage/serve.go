package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/keboola/duckdb-storage/core"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the REST API until SIGTERM; SIGHUP reloads the plugins",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			hangups := make(chan os.Signal, 1) // one that comes during the start is not lost
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			return serve(ctx, cmd, hangups)
		},
	}
	flags := cmd.Flags()
	flags.StringArray("config", nil, configUsage)
	flags.String("listen", "", "address of the API (default 127.0.0.1:8080)")
	flags.String("data-dir", "", "directory of everything that must survive (default ./data)")
	flags.String("plugin-dir", "", "directory of the plugin executables (default bin/plugins)")
	flags.String("runtime-dir", "", "directory for sockets and pipes, at most 48 bytes long (default: the data directory)")
	flags.String("log-level", "", "trace, debug, info, warn or error (default info)")
	flags.Bool("show-next-steps", false, "print what to type next")
	return cmd
}

// configUsage is the help of --config.
const configUsage = "YAML file with settings; may be given several times, later ones win"

func serve(ctx context.Context, cmd *cobra.Command, hangups <-chan os.Signal) error {
	cfg, err := loadConfig(cmd)
	if err != nil {
		return err
	}
	log := hclog.New(&hclog.LoggerOptions{
		Name: "duckdb-storage", Level: hclog.LevelFromString(cfg.LogLevel), Output: os.Stderr, JSONFormat: true,
	})
	service, err := core.Open(ctx, cfg, log, version)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if key := service.NewAdminKey(); key != "" {
		fmt.Fprintf(out, "admin key (shown only now): %s\n", key)
	}
	fmt.Fprintf(out, "listening on %s\n", service.URL())
	if show, err := cmd.Flags().GetBool("show-next-steps"); err == nil && show {
		nextSteps(out, service, cfg)
	}
	ctx, ended := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer ended()
	reloads.Go(func() { reloadOn(ctx, hangups, service) })
	return service.Run(ctx)
}

// reloadOn reads the configuration again for each signal. What comes of it is in the
// log.
func reloadOn(ctx context.Context, hangups <-chan os.Signal, service *core.Service) {
	for {
		select {
		case <-hangups:
			_, _ = service.Reload(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// loadConfig reads the settings; only flags that were given count.
func loadConfig(cmd *cobra.Command) (core.Config, error) {
	given := map[string]any{}
	for _, name := range []string{"listen", "data-dir", "plugin-dir", "runtime-dir", "log-level"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			given[strings.ReplaceAll(name, "-", "_")] = f.Value.String()
		}
	}
	paths, err := cmd.Flags().GetStringArray("config")
	if err != nil {
		return core.Config{}, err
	}
	return core.LoadConfig(paths, given)
}

// nextSteps tells a new user what to type in a second terminal.
func nextSteps(out interface{ Write([]byte) (int, error) }, service *core.Service, cfg core.Config) {
	key := service.NewAdminKey()
	if key == "" {
		key = cfg.AdminKey
	}
	if key == "" {
		key = "'the key that the first start showed'"
	}
	fmt.Fprintf(out, `
DuckDB Storage serves %[1]s.
Next, in a second terminal:

  export URL=%[1]s ADMIN_KEY=%[2]s
  curl -s $URL/health

and then the lines of "The main job" in README.md. Ctrl-C stops the service.
`, service.URL(), key)
}
