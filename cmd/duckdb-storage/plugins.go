package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/keboola/duckdb-storage/core"
)

func pluginsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plugins", Short: "Look at the plugins"}
	list := &cobra.Command{
		Use:   "list",
		Short: "Start each plugin, ask what it offers, and stop it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			plugins, err := core.DescribePlugins(cmd.Context(), cfg, hclog.NewNullLogger())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tVERSION\tSTATE\tCOMMANDS\tDETAIL")
			for _, p := range plugins {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", p.Name, p.Version, p.State, p.Commands, p.Detail)
			}
			return w.Flush()
		},
	}
	list.Flags().String("config", "", "YAML file with settings")
	list.Flags().String("plugin-dir", "", "directory of the plugin executables (default bin/plugins)")
	cmd.AddCommand(list)
	return cmd
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
