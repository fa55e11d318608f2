package sqltext

import (
	"slices"
	"strings"
)

// Definition is what a statement makes, changes or takes away.
type Definition struct {
	Verb string // CREATE, ALTER or DROP
	Kind string // TABLE, VIEW, SCHEMA, INDEX, SEQUENCE, MACRO, TYPE, …; a FUNCTION is a MACRO
	// Temporary says that it is in no catalog's file.
	Temporary bool
	// Name has the parts of the name, without quotes: one to three, outermost first.
	// Of a new index it is the table's.
	Name []string
	// Names are all that may be a name in the statement, keywords too, without quotes.
	Names []string
}

// In returns the schema that the definition names, or "main" if it names none. Of a
// schema it is the schema itself.
func (d Definition) In() string {
	switch n := len(d.Name); {
	case d.Kind == "SCHEMA" && n > 0:
		return d.Name[n-1]
	case n > 1:
		return d.Name[n-2]
	}
	return "main"
}

// modifiers are the words between CREATE and the kind of a thing.
var modifiers = []string{"or", "replace", "temp", "temporary", "persistent", "local", "global", "unlogged", "recursive", "materialized", "unique"}

// Define tells what a statement defines, and false if it is none that does. Comments
// and what is before the statement play no role: give it the tokens of one statement.
func Define(tokens []Token) (Definition, bool) {
	d, rest, ok := define(tokens)
	if !ok {
		return Definition{}, false
	}
	for _, t := range tokens {
		if t.Name() {
			d.Names = append(d.Names, t.Value)
		}
	}
	if d.Verb == "CREATE" && d.Kind == "INDEX" {
		on := slices.IndexFunc(rest, func(t Token) bool { return t.Is("on") })
		rest = rest[on+1:]
	}
	d.Name = Qualified(rest)
	return d, true
}

// define reads verb and kind, and returns what follows: the name.
func define(tokens []Token) (d Definition, rest []Token, ok bool) {
	if len(tokens) == 0 || !tokens[0].IsOne("create", "alter", "drop") {
		return d, nil, false
	}
	d.Verb = strings.ToUpper(tokens[0].Text)
	rest = tokens[1:]
	for len(rest) > 0 && rest[0].IsOne(modifiers...) {
		d.Temporary = d.Temporary || rest[0].IsOne("temp", "temporary", "local", "global")
		rest = rest[1:]
	}
	if len(rest) == 0 || rest[0].Kind != Word {
		return d, nil, false
	}
	d.Kind, rest = strings.ToUpper(rest[0].Text), rest[1:]
	if d.Kind == "FUNCTION" {
		d.Kind = "MACRO"
	}
	if d.Kind == "MACRO" && len(rest) > 1 && rest[0].Is("table") && rest[1].Name() { // DROP MACRO TABLE name
		rest = rest[1:]
	}
	switch {
	case len(rest) > 2 && rest[0].Is("if") && rest[1].Is("not") && rest[2].Is("exists"):
		rest = rest[3:]
	case len(rest) > 1 && rest[0].Is("if") && rest[1].Is("exists"):
		rest = rest[2:]
	}
	return d, rest, true
}

// Qualified reads the parts of the name that tokens begin with, without quotes: those
// of a.b.c are a, b and c.
func Qualified(tokens []Token) []string {
	var parts []string
	for len(tokens) > 0 && tokens[0].Name() {
		parts = append(parts, tokens[0].Value)
		if len(tokens) < 2 || !tokens[1].Symbol(".") {
			break
		}
		tokens = tokens[2:]
	}
	return parts
}
