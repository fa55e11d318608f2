package sqltext

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a string from behind its first quote. With escapes, a backslash is the
// beginning of one. Two strings with an end of line between them, and nothing but
// blanks and comments of one line, are one string.
func (s *scanner) quoted(escapes bool) (Token, error) {
	var value strings.Builder
	for s.rest() != "" {
		c := s.text[s.at]
		switch {
		case c == '\'' && strings.HasPrefix(s.text[s.at+1:], "'"):
			value.WriteByte('\'')
			s.at += 2
		case c == '\'':
			s.at++
			if s.continued() {
				continue
			}
			if out := value.String(); utf8.ValidString(out) && strings.IndexByte(out, 0) < 0 {
				return Token{Kind: String, Value: out}, nil
			}
			return Token{}, refuse("the escapes of a string E'…' make a NUL, or bytes that are not UTF-8")
		case c == '\\' && escapes:
			if err := s.escape(&value); err != nil {
				return Token{}, err
			}
		default:
			value.WriteByte(c)
			s.at++
		}
	}
	return Token{}, refuse("a string does not end: there is a ' without another one")
}

// continued passes what is between two strings that are one, and the quote behind it.
func (s *scanner) continued() bool {
	before, lines := s.at, false
	for {
		rest := s.rest()
		if n := blank(rest); n > 0 {
			lines = lines || rest[0] == '\n' || rest[0] == '\r'
			s.at += n
			continue
		}
		if strings.HasPrefix(rest, "--") {
			s.skipLine()
			continue
		}
		if lines && strings.HasPrefix(rest, "'") {
			s.at++
			return true
		}
		s.at = before
		return false
	}
}

// letters are the escapes of one letter. Of any other character the escape is the
// character.
var letters = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads an escape.
func (s *scanner) escape(to *strings.Builder) error {
	rest := s.rest()[1:]
	if rest == "" {
		s.at++ // the string does not end
		return nil
	}
	c := rest[0]
	switch {
	case c == 'u' || c == 'U':
		return s.unicode(to)
	case '0' <= c && c <= '7':
		n := span(rest, 3, "01234567")
		v, _ := strconv.ParseUint(rest[:n], 8, 16) // up to three digits always parse
		to.WriteByte(byte(v))
		s.at += 1 + n
	case c == 'x' && span(rest[1:], 2, hexDigits) > 0:
		n := span(rest[1:], 2, hexDigits)
		v, _ := strconv.ParseUint(rest[1:1+n], 16, 8) // up to two digits always parse
		to.WriteByte(byte(v))
		s.at += 2 + n
	case letters[c] != 0:
		to.WriteByte(letters[c])
		s.at += 2
	default:
		to.WriteByte(c) // of a longer character the first byte; the others follow
		s.at += 2
	}
	return nil
}

// unicode reads \u0041 or \U00000041, or a pair of them for one character.
func (s *scanner) unicode(to *strings.Builder) error {
	first, err := s.point()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(first) {
		second, err := s.point()
		if err != nil {
			return err
		}
		first = utf16.DecodeRune(first, second)
	}
	if first == 0 || first == utf8.RuneError || !utf8.ValidRune(first) {
		return refuse("an escape \\u in a string is no character")
	}
	to.WriteRune(first)
	return nil
}

// point reads one escape of a code point.
func (s *scanner) point() (rune, error) {
	rest := s.rest()
	if len(rest) < 2 || rest[0] != '\\' || rest[1] != 'u' && rest[1] != 'U' {
		return 0, refuse("an escape \\u in a string is half of a character; the other half is to follow")
	}
	want := 4
	if rest[1] == 'U' {
		want = 8
	}
	if span(rest[2:], want, hexDigits) < want {
		return 0, refuse("an escape \\u in a string has 4 digits, \\U has 8")
	}
	v, err := strconv.ParseUint(rest[2:2+want], 16, 31)
	if err != nil {
		return 0, refuse("an escape \\U in a string is no character")
	}
	s.at += 2 + want
	return rune(v), nil
}

const hexDigits = "0123456789abcdefABCDEF"

// span counts the characters at the beginning of a text that are among some, up to
// a number of them.
func span(text string, most int, among string) int {
	n := 0
	for n < len(text) && n < most && strings.IndexByte(among, text[n]) >= 0 {
		n++
	}
	return n
}
