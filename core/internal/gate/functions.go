package gate

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

// The functions of DuckDB 1.5.6 that are more than a computation of values. A test
// fails when DuckDB has one of these kinds that is in no list, so that each upgrade is
// a decision.
var (
	// rowsOf are table functions that make rows of their arguments, or list what is the
	// same for everyone.
	rowsOf = set("range generate_series unnest repeat repeat_row json_each json_tree icu_calendar_names pg_timezone_names duckdb_keywords")
	// namedTables take the name of a table as text.
	namedTables = set("pragma_table_info pragma_storage_info pragma_show")
	// sequences take the name of a sequence as text.
	sequences = set("nextval currval")
	// refused are functions that reach beyond the data of the project: files, settings,
	// logs, other catalogs, text that is run as SQL, and what only DuckDB itself may call.
	refused = set(`
		add_parquet_key all_profiling_output arrow_scan arrow_scan_dumb check_peg_parser checkpoint collations copy_database database_list database_size
		disable_checkpoint_on_shutdown disable_logging disable_object_cache disable_optimizer disable_peg_parser disable_print_progress_bar disable_profile
		disable_profiling disable_progress_bar disable_verification disable_verify_external disable_verify_fetch_row disable_verify_parallelism disable_verify_serializer
		duckdb_approx_database_count duckdb_connection_count duckdb_coordinate_systems duckdb_dependencies duckdb_extensions duckdb_external_file_cache
		duckdb_log_contexts duckdb_logs duckdb_logs_parsed duckdb_memory duckdb_optimizers duckdb_prepared_statements duckdb_profiling_settings duckdb_secret_types
		duckdb_secrets duckdb_settings duckdb_table_sample duckdb_temporary_files duckdb_variables enable_checkpoint_on_shutdown enable_logging enable_object_cache
		enable_optimizer enable_peg_parser enable_print_progress_bar enable_profile enable_profiling enable_progress_bar enable_verification extension_versions
		force_checkpoint functions glob histogram_values import_database json_execute_serialized_sql metadata_info parquet_bloom_probe
		parquet_file_metadata parquet_full_metadata parquet_kv_metadata parquet_metadata parquet_scan parquet_schema platform pragma_collations pragma_database_size
		pragma_metadata_info pragma_platform pragma_user_agent pragma_version query query_table read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto
		read_json_objects read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet read_text seq_scan show show_databases show_tables
		show_tables_expanded sniff_csv sql_auto_complete storage_info summary table_info test_all_types test_vector_types truncate_duckdb_logs user_agent
		verify_external verify_fetch_row verify_parallelism verify_serializer which_secret
		current_setting getenv write_log json_serialize_plan get_block_size pg_get_viewdef pg_get_constraintdef format_type format_pg_type sleep_ms pg_sleep finalize combine
		sum_no_overflow getvariable in_search_path`)
	// inTables are refused as table functions; an aggregate of that name is fine.
	inTables = set("histogram version")
)

// internal starts the names of functions that DuckDB puts into plans.
const internal = "__internal_"

// scan is how a plan calls the scan of a table.
const scan = "seq_scan"

// Refuses reports whether a function, as a plan names it, reaches beyond the data of
// the project, or lists the catalog. Names may be in any case.
func Refuses(function string) (refuses, lists bool) {
	name := strings.ToLower(function)
	return refused[name] && name != scan || inTables[name], catalogFunctions[name] != ""
}

// checkFunctions looks at each name that has an opening bracket behind it, written
// f(x) or x.f().
func (j *judge) checkFunctions() error {
	for i, t := range j.tokens {
		if !t.Name() || !j.at(i+1).Symbol("(") || j.declared(i) {
			continue
		}
		name := strings.ToLower(t.Value)
		switch {
		case refused[name], strings.HasPrefix(name, internal):
			return errFunction(name)
		case sequences[name], namedTables[name]:
			argument := j.at(i + 2)
			if argument.Kind != sqltext.String || !j.at(i+3).Symbol(")") {
				return sdk.ErrDenied.Errorf("%s takes one name, as a text in the statement: %s('bucket.name')", name, name)
			}
			if err := j.own.checkText(argument.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// declared reports whether the name at i is of a table that is made or filled, and
// what is in brackets are its columns.
func (j *judge) declared(i int) bool {
	for j.at(i-1).Symbol(".") && j.at(i-2).Name() {
		i -= 2
	}
	return j.at(i-1).IsOne("into", "table", "references") || j.at(i-1).Is("exists") && j.at(i-2).Is("not") && j.at(i-3).Is("if")
}

func errFunction(name string) error {
	return sdk.ErrDenied.Errorf("function %s is not allowed: it reaches beyond the data of the project", name)
}

// at is the token at i, or none.
func (j *judge) at(i int) sqltext.Token {
	if i < 0 || i >= len(j.tokens) {
		return sqltext.Token{}
	}
	return j.tokens[i]
}

// Classified reports whether somebody has decided about a function or a view of DuckDB
// that is more than a computation of values.
func Classified(name string) bool {
	return rowsOf[name] || namedTables[name] || sequences[name] || refused[name] || inTables[name] ||
		catalogFunctions[name] != "" || catalogViews[name] != "" || defaults[name]
}
