package engine

import (
	"strings"

	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2"

	"github.com/keboola/duckdb-storage/sdk"
)

// errControl refuses statements that are the host's to make.
var errControl = sdk.ErrInvalid.Errorf("a Unit is one transaction in one catalog, which the host begins, ends and checkpoints: leave out BEGIN, COMMIT, ROLLBACK, CHECKPOINT, ATTACH, DETACH and USE, and an EXPLAIN that names one of them")

// Control returns ErrInvalid for SQL of one or more statements, one of which begins or
// ends a transaction, checkpoints, or changes which catalogs there are or which one is
// meant. It is for what runs in a transaction of a session, before it runs there.
//
// A text in which none of their words may begin a statement costs a look at its bytes:
// 0.1 µs for a short one, 0.8 µs for 1 KB. Of any other DuckDB is asked what it is, so
// that names, aliases, literals and comments may have the words: 0.06 ms, and the time
// to bind it (measured, 1.5.6).
func (s *Session) Control(text string) error {
	words := controlWords(text)
	if words == nil {
		return nil
	}
	kinds, err := s.kinds(text)
	if err != nil {
		return err
	}
	for kind := range kinds {
		for _, word := range controls[kind] {
			if words[word] {
				return errControl
			}
		}
	}
	return nil
}

// controls are the words of each kind of statement that is refused. DuckDB takes
// CHECKPOINT for a CALL, USE for a SET, and an EXPLAIN ANALYZE runs what it explains;
// there is no such word behind PREPARE or EXECUTE (measured, 1.5.6).
var controls = map[bindings.StatementType][]string{
	bindings.StatementTypeTransaction: {"begin", "start", "commit", "rollback", "abort", "end"},
	bindings.StatementTypeCall:        {"checkpoint", "force"},
	bindings.StatementTypeAttach:      {"attach"},
	bindings.StatementTypeDetach:      {"detach"},
	bindings.StatementTypeSet:         {"use"},
	bindings.StatementTypeVariableSet: {"use"},
	bindings.StatementTypeExplain:     {"begin", "start", "commit", "rollback", "abort", "end", "checkpoint", "force"},
}

// kinds tells what the statements of a text are. One that cannot be prepared now is
// left out: to run it says why. The statements that are refused here can be prepared at
// any time. A text that cannot be read is ErrSQL: inside of another statement it might
// be read, as something else.
func (s *Session) kinds(text string) (map[bindings.StatementType]bool, error) {
	out := map[bindings.StatementType]bool{}
	err := s.conn.Raw(func(raw any) error {
		conn, err := connectionOf(raw)
		if err != nil {
			return err
		}
		var all bindings.ExtractedStatements
		n := bindings.ExtractStatements(conn, text, &all)
		defer bindings.DestroyExtracted(&all)
		if problem := bindings.ExtractStatementsError(all); n == 0 && problem != "" {
			return &duckdb.Error{Type: duckdb.ErrorTypeParser, Msg: problem}
		}
		for i := range n {
			var one bindings.PreparedStatement
			if bindings.PrepareExtractedStatement(conn, all, i, &one) == bindings.StateSuccess {
				out[bindings.PreparedStatementType(one)] = true
			}
			bindings.DestroyPrepare(&one)
		}
		return nil
	})
	return out, s.fail(err)
}

// controlWords returns those of the words that may begin a statement of a text, or
// nil. It takes what is quoted or commented out for text like any other, and after a
// comment each line for a beginning: so it may find a word too many, and misses none.
// In an EXPLAIN each word may begin one.
func controlWords(text string) (found map[string]bool) {
	fresh, comment, explain := true, false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case isLetter(c):
			end := i + 1
			for end < len(text) && isWord(text[end]) {
				end++
			}
			if fresh || explain {
				if word := controlWord(text[i:end]); word != "" {
					if found == nil {
						found = map[string]bool{}
					}
					found[word] = true
					explain = explain || word == "explain"
				}
			}
			fresh, i = false, end-1
		case c == ';', c == '/' && i > 0 && text[i-1] == '*', comment && (c == '\n' || c == '\r'):
			fresh = true
		case c == '-' && i > 0 && text[i-1] == '-':
			comment = true
		case c <= ' ', c >= 0x80: // DuckDB has spaces beyond ASCII
		default:
			fresh = false
		}
	}
	return found
}

// controlWord is a word in lower case if it is one that may be refused, or empty.
func controlWord(word string) string {
	const longest = len("checkpoint")
	if len(word) > longest {
		return ""
	}
	switch lower := strings.ToLower(word); lower {
	case "begin", "start", "commit", "rollback", "abort", "end", "checkpoint", "force", "attach", "detach", "use", "explain":
		return lower
	}
	return ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isWord(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '$' }
