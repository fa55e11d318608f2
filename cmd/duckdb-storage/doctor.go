package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keboola/duckdb-storage/core"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether the service can work here; status 1 if something is wrong",
		Long: "Check folders, space, limits, DuckDB, clock, plugins and configuration, and tell every problem at once, " +
			"with what to do. It can run before the first start, and beside a service; run it as the user of the service.",
		Args: cobra.NoArgs,
		RunE: examine,
	}
	flags := cmd.Flags()
	flags.Bool("json", false, "print the checks as JSON")
	flags.StringArray("config", nil, configUsage)
	flags.String("data-dir", "", "directory of everything that must survive (default ./data)")
	flags.String("plugin-dir", "", "directory of the plugin executables (default bin/plugins)")
	flags.String("runtime-dir", "", "directory for sockets and pipes (default: the data directory)")
	return cmd
}

// examine prints the checks. A configuration with faults is one of them.
func examine(cmd *cobra.Command, _ []string) error {
	cfg, faults := loadConfig(cmd)
	checks := core.Examine(cmd.Context(), cfg, faults)
	failed := count(checks, core.CheckFailed)
	asJSON, err := cmd.Flags().GetBool("json")
	if err == nil && asJSON {
		err = printReport(cmd.OutOrStdout(), checks)
	} else if err == nil {
		err = printChecks(cmd.OutOrStdout(), checks)
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d checks failed", failed, len(checks)))
	}
	return err
}

func printReport(out io.Writer, checks []core.Check) error {
	status := core.CheckOK
	switch {
	case count(checks, core.CheckFailed) > 0:
		status = core.CheckFailed
	case count(checks, core.CheckWarning) > 0:
		status = core.CheckWarning
	}
	to := json.NewEncoder(out)
	to.SetIndent("", "  ")
	return to.Encode(map[string]any{"status": status, "checks": checks, "version": version})
}

func printChecks(out io.Writer, checks []core.Check) error {
	w := table(out)
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Status, c.Name, printable(c.Detail))
	}
	return w.Flush()
}

// printable is a text whose control characters, which may come from the name of a file,
// do not reach the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

func count(checks []core.Check, status core.CheckStatus) (n int) {
	for _, c := range checks {
		if c.Status == status {
			n++
		}
	}
	return n
}
