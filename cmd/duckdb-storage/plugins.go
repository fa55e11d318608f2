package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/keboola/duckdb-storage/core"
)

func pluginsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugins",
		Short: "Look at the plugins; no service is needed",
		Args:  cobra.NoArgs, // a misspelled command is an error, not the help
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "Start each plugin, ask what it offers, and stop it",
		Args:  cobra.NoArgs,
		RunE:  listPlugins,
	}
	list.Flags().Bool("json", false, "print all that is known, as JSON")
	cmd.AddCommand(list,
		&cobra.Command{
			Use:   "lock",
			Short: "Print a config file that pins each executable to what it is now; give it to serve as a further --config",
			Args:  cobra.NoArgs,
			RunE:  lockPlugins,
		},
		&cobra.Command{
			Use:   "verify",
			Short: "Compare each executable with the configuration; status 1 if one is missing or another than pinned",
			Args:  cobra.NoArgs,
			RunE:  verifyPlugins,
		},
		&cobra.Command{
			Use:   "doc [name]",
			Short: "Describe a plugin, or all of them, in Markdown",
			Args:  cobra.MaximumNArgs(1),
			RunE:  documentPlugins,
		})
	for _, c := range cmd.Commands() {
		c.Flags().StringArray("config", nil, configUsage)
		c.Flags().String("plugin-dir", "", "directory of the plugin executables (default bin/plugins)")
	}
	return cmd
}

func listPlugins(cmd *cobra.Command, _ []string) error {
	cfg, err := loadConfig(cmd)
	if err != nil {
		return err
	}
	plugins, err := core.DescribePlugins(cmd.Context(), cfg, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	if asJSON, err := cmd.Flags().GetBool("json"); err != nil || asJSON {
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		return errors.Join(err, out.Encode(map[string]any{"items": plugins}), failed(plugins))
	}
	if err := printPlugins(cmd.OutOrStdout(), plugins); err != nil {
		return err
	}
	return failed(plugins)
}

// failed is an error for the plugins that would not be served, so that a script
// notices.
func failed(plugins []core.Plugin) error {
	var names []string
	for _, p := range plugins {
		if p.State == "failed" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("not loaded: %s", strings.Join(names, ", "))
}

func printPlugins(out io.Writer, plugins []core.Plugin) error {
	w := table(out)
	fmt.Fprintln(w, "NAME\tVERSION\tSTATE\tCOMMANDS\tROUTES\tDIGEST\tNEEDS\tDETAIL")
	var long []string // details that do not fit into a line
	for _, p := range plugins {
		detail, rest, _ := strings.Cut(p.Detail, "\n")
		if rest != "" {
			long = append(long, p.Detail)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", p.Name, p.Version, p.State, len(p.Commands), len(p.Routes),
			short(p.Digest), strings.Join(p.Needs, ","), detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, detail := range long {
		if _, err := fmt.Fprintf(out, "\n%s\n", detail); err != nil {
			return err
		}
	}
	return nil
}

// lockPlugins prints YAML. The digests are quoted: one of digits alone would be a number.
func lockPlugins(cmd *cobra.Command, _ []string) error {
	pins, err := pins(cmd)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, "plugins:")
	var missing []error
	for _, p := range pins {
		if p.State == core.PinMissing {
			missing = append(missing, fmt.Errorf("plugin %s: %w", p.Plugin, p.Err))
			continue
		}
		fmt.Fprintf(out, "  %s:\n    sha256: %q\n", p.Plugin, p.Digest)
	}
	return errors.Join(missing...)
}

func verifyPlugins(cmd *cobra.Command, _ []string) error {
	pins, err := pins(cmd)
	if err != nil {
		return err
	}
	w := table(cmd.OutOrStdout())
	fmt.Fprintln(w, "NAME\tSTATE\tDIGEST\tPINNED\tPATH")
	var bad []string
	for _, p := range pins {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Plugin, p.State, short(p.Digest), short(p.Wanted), p.Path)
		if p.State == core.PinMismatch || p.State == core.PinMissing {
			bad = append(bad, p.Plugin)
		}
	}
	if err := w.Flush(); err != nil || len(bad) == 0 {
		return err
	}
	return fmt.Errorf("not as pinned: %s", strings.Join(bad, ", "))
}

func pins(cmd *cobra.Command) ([]core.Pin, error) {
	cfg, err := loadConfig(cmd)
	if err != nil {
		return nil, err
	}
	return core.Pins(cfg)
}

func documentPlugins(cmd *cobra.Command, args []string) error {
	cfg, err := loadConfig(cmd)
	if err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	text, err := core.DocumentPlugins(cmd.Context(), cfg, hclog.NewNullLogger(), name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

func table(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

// short is enough of a digest to compare two by eye.
func short(digest string) string {
	if len(digest) > 12 {
		return digest[:12]
	}
	if digest == "" {
		return "-"
	}
	return digest
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "duckdb-storage", version)
			return err
		},
	}
}
