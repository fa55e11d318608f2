package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preferences is what a client prefers (RFC 7240). What this service does not know,
// or cannot read, is no preference.
type preferences struct {
	plan  bool          // return=plan: show what would run, run nothing
	async bool          // respond-async: run it as a job
	wait  time.Duration // wait=N: of a job, this long in the hope that it ends
}

// preferred reads the Prefer headers. Of a preference that is given twice the first
// counts.
func preferred(h http.Header) preferences {
	var out preferences
	seen := map[string]bool{}
	for _, p := range preferenceList(h.Values("Prefer")) {
		if seen[p.name] {
			continue
		}
		seen[p.name] = true
		switch p.name {
		case "return":
			out.plan = p.value == "plan"
		case "respond-async":
			out.async = true
		case "wait":
			// Beyond 32 bits a number is no wish that could be met.
			if seconds, err := strconv.ParseUint(p.value, 10, 32); err == nil {
				out.wait = time.Duration(seconds) * time.Second
			}
		}
	}
	return out
}

type preference struct{ name, value string }

// preferenceList splits headers into preferences. Their parameters, after a
// semicolon, mean nothing here.
func preferenceList(headers []string) []preference {
	var out []preference
	for _, header := range headers {
		for _, part := range splitQuoted(header, ',') {
			part = splitQuoted(part, ';')[0]
			name, value, _ := strings.Cut(part, "=")
			out = append(out, preference{strings.ToLower(strings.TrimSpace(name)), unquote(strings.TrimSpace(value))})
		}
	}
	return out
}

// splitQuoted splits at a separator that stands outside of quoted strings.
func splitQuoted(s string, separator byte) []string {
	var out []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// unquote returns the text of a quoted string; any other value is a token.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
