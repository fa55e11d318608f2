package sqltext

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Lex takes SQL apart. It returns ErrSQL for a text that cannot be read.
func Lex(text string) ([]Token, error) {
	if !utf8.ValidString(text) {
		return nil, refuse("the statement is not valid UTF-8")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, refuse("the statement has a NUL character")
	}
	s := scanner{text: text}
	out := make([]Token, 0, len(text)/4+1)
	for {
		gap, err := s.skip()
		if err != nil {
			return nil, err
		}
		if s.rest() == "" {
			return out, nil
		}
		start := s.at
		t, err := s.next()
		if err != nil {
			return nil, err
		}
		t.Text, t.Gap = text[start:s.at], gap
		if t.Kind != Quoted && t.Kind != String {
			t.Value = t.Text
		}
		out = append(out, t)
	}
}

// scanner reads a text from its beginning to its end.
type scanner struct {
	text string
	at   int
}

func (s *scanner) rest() string { return s.text[s.at:] }

// skip passes blanks and comments.
func (s *scanner) skip() (gap bool, err error) {
	for start := s.at; ; {
		rest := s.rest()
		switch n := blank(rest); {
		case n > 0:
			s.at += n
		case strings.HasPrefix(rest, "--"):
			s.skipLine()
		case strings.HasPrefix(rest, "/*"):
			if err := s.skipComment(); err != nil {
				return false, err
			}
		default:
			return s.at > start, nil
		}
	}
}

// blanks are what DuckDB takes for a space beyond ASCII, wherever it is not quoted.
var blanks = []string{
	"\u00a0", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u200b",
	"\u202f", "\u205f", "\u2060", "\u3000", "\ufeff",
}

// blank is the length of the blank that a text begins with, or 0.
func blank(text string) int {
	if text == "" {
		return 0
	}
	if text[0] < utf8.RuneSelf {
		if strings.IndexByte(" \t\n\r\f\v", text[0]) >= 0 {
			return 1
		}
		return 0
	}
	_, n := utf8.DecodeRuneInString(text)
	if slices.Contains(blanks, text[:n]) {
		return n
	}
	return 0
}

// skipLine passes a comment of one line, but not the end of the line.
func (s *scanner) skipLine() {
	if i := strings.IndexAny(s.rest(), "\r\n"); i >= 0 {
		s.at += i
	} else {
		s.at = len(s.text)
	}
}

// skipComment passes a comment of several lines, and those inside of it.
func (s *scanner) skipComment() error {
	for depth := 0; s.rest() != ""; {
		switch {
		case strings.HasPrefix(s.rest(), "/*"):
			depth++
			s.at += 2
		case strings.HasPrefix(s.rest(), "*/"):
			depth--
			s.at += 2
			if depth == 0 {
				return nil
			}
		default:
			s.at++
		}
	}
	return refuse("a comment /* does not end")
}

// next reads the token that the rest begins with.
func (s *scanner) next() (Token, error) {
	rest := s.rest()
	switch c := rest[0]; {
	case c == '\'':
		s.at++
		return s.quoted(false)
	case c == '"':
		return s.name()
	case c == '$':
		return s.dollar()
	case c == '?':
		s.at += 1 + digits(rest[1:])
		return Token{Kind: Parameter}, nil
	case isDigit(c), c == '.' && len(rest) > 1 && isDigit(rest[1]):
		s.at += number(rest)
		return Token{Kind: Number}, nil
	case isStart(c):
		return s.word()
	default:
		n, err := symbol(rest)
		s.at += n
		return Token{Kind: Symbol}, err
	}
}

// word reads a name or a keyword, or a string with a letter before it.
func (s *scanner) word() (Token, error) {
	rest := s.rest()
	if len(rest) > 1 && rest[1] == '\'' {
		switch rest[0] {
		case 'e', 'E':
			s.at += 2
			return s.quoted(true)
		case 'x', 'X':
			return s.bytes("0123456789abcdefABCDEF")
		case 'b', 'B':
			return s.bytes("01")
		}
	}
	if len(rest) > 2 && (rest[0] == 'u' || rest[0] == 'U') && rest[1] == '&' && (rest[2] == '\'' || rest[2] == '"') {
		return Token{}, refuse("names and strings with U& are not supported; write the characters as they are, or E'\\u0041' for a string")
	}
	s.at += identifier(rest)
	return Token{Kind: Word}, nil
}

// identifier is the length of the name that a text begins with.
func identifier(text string) int {
	i := 0
	for i < len(text) && (isStart(text[i]) || isDigit(text[i]) || text[i] == '$') {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		if blank(text[i:]) > 0 {
			break
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		i += n
	}
	return i
}

// name reads a quoted name.
func (s *scanner) name() (Token, error) {
	rest := s.rest()[1:]
	var value strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '"' {
			value.WriteByte(rest[i])
			continue
		}
		if i+1 < len(rest) && rest[i+1] == '"' {
			value.WriteByte('"')
			i++
			continue
		}
		s.at += i + 2
		return Token{Kind: Quoted, Value: value.String()}, nil
	}
	return Token{}, refuse("a quoted name does not end: there is a \" without another one")
}

// bytes reads X'…' or B'…'.
func (s *scanner) bytes(allowed string) (Token, error) {
	rest := s.rest()[2:]
	end := strings.IndexByte(rest, '\'')
	if end < 0 || strings.Trim(rest[:end], allowed) != "" {
		return Token{}, refuse("%.1s'…' is not a string of the characters %s", s.rest(), allowed)
	}
	s.at += end + 3
	return Token{Kind: String, Value: rest[:end]}, nil
}

// dollar reads $1, $name, $$text$$ or $tag$text$tag$.
func (s *scanner) dollar() (Token, error) {
	rest := s.rest()
	tag := 1
	if n := digits(rest[1:]); n > 0 {
		s.at += 1 + n
		return Token{Kind: Parameter}, nil
	}
	if len(rest) > 1 && isStart(rest[1]) {
		for tag < len(rest) && (isStart(rest[tag]) || isDigit(rest[tag])) && blank(rest[tag:]) == 0 {
			tag++
		}
	}
	if tag < len(rest) && rest[tag] == '$' {
		text, _, ended := strings.Cut(rest[tag+1:], rest[:tag+1])
		if !ended {
			return Token{}, refuse("a string that begins with %s does not end", rest[:tag+1])
		}
		s.at += 2*(tag+1) + len(text)
		return Token{Kind: String, Value: text}, nil
	}
	n := identifier(rest[1:])
	if n == 0 || isDigit(rest[1]) {
		return Token{}, refuse("a $ stands alone; write $1, or $$text$$")
	}
	s.at += 1 + n
	return Token{Kind: Parameter}, nil
}

// number is the length of the number that a text begins with.
func number(text string) int {
	n := digits(text)
	// Of 1..2 the dots are a symbol.
	if n < len(text) && text[n] == '.' && (n == 0 || !strings.HasPrefix(text[n:], "..")) {
		n += 1 + digits(text[n+1:])
	}
	if n < len(text) && text[n]|0x20 == 'e' {
		exponent := n + 1
		if exponent < len(text) && (text[exponent] == '+' || text[exponent] == '-') {
			exponent++
		}
		if d := digits(text[exponent:]); d > 0 {
			n = exponent + d
		}
	}
	return n
}

// digits is the length of the digits that a text begins with, with an underscore
// between any two.
func digits(text string) int {
	n := 0
	for n < len(text) {
		switch {
		case isDigit(text[n]):
			n++
		case text[n] == '_' && n > 0 && n+1 < len(text) && isDigit(text[n+1]):
			n += 2
		default:
			return n
		}
	}
	return n
}

// operators are the characters of operators.
const operators = "~!@^&|`+-*/%<>="

// symbol is the length of the symbol that a text begins with.
func symbol(text string) (int, error) {
	for _, s := range []string{"::", "..", ":="} {
		if strings.HasPrefix(text, s) {
			return len(s), nil
		}
	}
	if strings.IndexByte(operators, text[0]) < 0 {
		if strings.IndexByte(",()[].;:{}#", text[0]) < 0 {
			return 0, refuse("the statement has a %q where none may stand", text[:1])
		}
		return 1, nil
	}
	n := 1
	for n < len(text) && strings.IndexByte(operators, text[n]) >= 0 {
		n++
	}
	for _, comment := range []string{"/*", "--"} {
		if i := strings.Index(text[:n], comment); i > 0 {
			n = i
		}
	}
	// As in SQL, an operator of the characters + - * / < > = ends before a sign.
	for n > 1 && (text[n-1] == '+' || text[n-1] == '-') && !strings.ContainsAny(text[:n-1], "~!@^&|`%") {
		n--
	}
	return n, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isStart reports whether a name may begin with a byte.
func isStart(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
}
