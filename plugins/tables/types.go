package tables

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// types lists the type names that a column may have, and the DuckDB type of
// each. Where Keboola's base types and DuckDB's own use one name for two types,
// Keboola's meaning wins: INTEGER holds 64 bits and FLOAT is a double; DuckDB's
// narrower types are INT4 and REAL.
var types = map[string]sql.Statement{
	// Keboola's base types
	"STRING": sql.New("VARCHAR"), "INTEGER": sql.New("BIGINT"), "NUMERIC": sql.New("DECIMAL"), "FLOAT": sql.New("DOUBLE"),
	"BOOLEAN": sql.New("BOOLEAN"), "DATE": sql.New("DATE"), "TIMESTAMP": sql.New("TIMESTAMP"),
	// DuckDB's
	"VARCHAR": sql.New("VARCHAR"), "TEXT": sql.New("VARCHAR"), "TINYINT": sql.New("TINYINT"), "SMALLINT": sql.New("SMALLINT"),
	"INT4": sql.New("INTEGER"), "BIGINT": sql.New("BIGINT"), "HUGEINT": sql.New("HUGEINT"), "UTINYINT": sql.New("UTINYINT"),
	"USMALLINT": sql.New("USMALLINT"), "UINTEGER": sql.New("UINTEGER"), "UBIGINT": sql.New("UBIGINT"), "UHUGEINT": sql.New("UHUGEINT"),
	"DECIMAL": sql.New("DECIMAL"), "REAL": sql.New("REAL"), "DOUBLE": sql.New("DOUBLE"), "BLOB": sql.New("BLOB"), "TIME": sql.New("TIME"),
	"TIMESTAMPTZ": sql.New("TIMESTAMPTZ"), "TIMESTAMP WITH TIME ZONE": sql.New("TIMESTAMPTZ"), "INTERVAL": sql.New("INTERVAL"),
	"UUID": sql.New("UUID"), "JSON": sql.New("JSON"),
}

// defaultDecimal is NUMERIC without a length, as in Keboola on BigQuery.
const defaultDecimal = "38,9"

// definition is a checked column.
type definition struct {
	name     string
	ddlType  sql.Statement // with precision and scale
	length   int           // of a text; 0 is any
	nullable bool
	def      sql.Statement // DEFAULT, or zero
	keyable  bool
}

var (
	decimalLength = regexp.MustCompile(`^(\d+)(?:,\s*(\d+))?$`)
	textLength    = regexp.MustCompile(`^[1-9]\d{0,8}$`)
)

// define checks a typed column.
func define(c api.ColumnSpec, pointer string, isKey bool) (definition, error) {
	name := strings.ToUpper(strings.TrimSpace(c.Type))
	base, known := types[name]
	if !known {
		return definition{}, sdk.ErrInvalid.Errorf("column %q: type %q is not known; use STRING, INTEGER, NUMERIC, FLOAT, BOOLEAN, DATE, TIMESTAMP or a DuckDB type", c.Name, c.Type).At(pointer + "/type")
	}
	d := definition{name: string(c.Name), ddlType: base, nullable: !isKey, keyable: true}
	if c.Nullable != nil {
		d.nullable = *c.Nullable
	}
	var err error
	switch base.SQL() {
	case "VARCHAR":
		d.length, err = parseTextLength(c, pointer)
	case "DECIMAL":
		d.ddlType, err = parseDecimal(c, pointer)
	default:
		if c.Length != "" {
			err = sdk.ErrInvalid.Errorf("column %q: type %s takes no length", c.Name, name).At(pointer + "/length")
		}
	}
	d.keyable = base.SQL() != "DOUBLE" && base.SQL() != "REAL"
	if err == nil && c.Default != nil {
		d.def, err = parseDefault(c, base.SQL(), pointer)
	}
	return d, err
}

func parseTextLength(c api.ColumnSpec, pointer string) (int, error) {
	if c.Length == "" {
		return 0, nil
	}
	if !textLength.MatchString(c.Length) {
		return 0, sdk.ErrInvalid.Errorf("column %q: length %q is not a number of characters", c.Name, c.Length).At(pointer + "/length")
	}
	return strconv.Atoi(c.Length)
}

func parseDecimal(c api.ColumnSpec, pointer string) (sql.Statement, error) {
	length := c.Length
	if length == "" {
		length = defaultDecimal
	}
	m := decimalLength.FindStringSubmatch(length)
	if m != nil {
		precision, _ := strconv.Atoi(m[1]) // too many digits fail the bounds
		scale, _ := strconv.Atoi(m[2])
		if precision >= 1 && precision <= 38 && scale <= precision {
			return sql.New("DECIMAL(?, ?)", number(precision), number(scale)), nil
		}
	}
	return sql.Statement{}, sdk.ErrInvalid.Errorf("column %q: length %q must be precision,scale with a precision of 1 to 38", c.Name, c.Length).At(pointer + "/length")
}

// number is an integer in the text of a statement, where no value can be bound.
func number(n int) sql.Statement { return sql.Raw(strconv.Itoa(n)) }

// digits is number for a text of digits.
func digits(s string) sql.Statement {
	n, _ := strconv.Atoi(s) // which fails for nothing that a column can have
	return number(n)
}

var (
	numeric = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$`)
	integer = regexp.MustCompile(`^[+-]?\d+$`)
)

// parseDefault checks a default where its type makes it plain and quotes it.
// Dates and the like are checked by the Unit that uses it.
func parseDefault(c api.ColumnSpec, base, pointer string) (sql.Statement, error) {
	value := *c.Default
	invalid := func(format string, args ...any) (sql.Statement, error) {
		return sql.Statement{}, sdk.ErrInvalid.Errorf(format, args...).At(pointer + "/default")
	}
	switch base {
	case "VARCHAR", "BLOB", "JSON", "UUID", "INTERVAL":
	case "BOOLEAN":
		switch strings.ToLower(value) {
		case "true", "1":
			return sql.New("true"), nil
		case "false", "0":
			return sql.New("false"), nil
		}
		return invalid("Invalid default value for column %q. Allowed values are true, false, 0, 1, got %q.", c.Name, value)
	case "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ":
		if strings.EqualFold(value, "CURRENT_TIMESTAMP") && base != "TIME" {
			return sql.New("now()"), nil
		}
	default:
		if !numeric.MatchString(value) {
			return invalid("Invalid default value for column %q. Expected numeric value, got %q.", c.Name, value)
		}
		if base != "DECIMAL" && base != "DOUBLE" && base != "REAL" && !integer.MatchString(value) {
			return invalid("Invalid default value for column %q. Expected integer value, got %q.", c.Name, value)
		}
	}
	return sql.New("?", sql.Literal(value)), nil
}
