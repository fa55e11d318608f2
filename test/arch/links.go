package arch

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	fence   = regexp.MustCompile("(?ms)^ *(```|~~~).*?^ *(```|~~~) *$")
	code    = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
)

// links checks what a reader of the documents can click on and reaches without a
// network: files of the repository and headings in them.
var links = Rule{
	"links of the documents lead somewhere", "a reader who follows one must not end at nothing",
	func(t *Tree) []string {
		var out []string
		for _, doc := range t.Docs {
			raw, err := fs.ReadFile(t.fsys, doc)
			if err != nil {
				return append(out, err.Error())
			}
			text := code.ReplaceAllString(fence.ReplaceAllString(string(raw), ""), "")
			for _, m := range link.FindAllStringSubmatch(text, -1) {
				if fault := follow(t.fsys, doc, m[1]); fault != "" {
					out = append(out, fmt.Sprintf("%s links to %s: %s", doc, m[1], fault))
				}
			}
		}
		if len(t.Docs) == 0 {
			return []string{"there are no documents"}
		}
		return out
	},
}

func follow(fsys fs.FS, doc, target string) (fault string) {
	u, err := url.Parse(target)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "" {
		return ""
	}
	file := doc
	if u.Path != "" {
		file = path.Join(path.Dir(doc), u.Path)
	}
	if _, err := fs.Stat(fsys, file); err != nil {
		return "there is no such file"
	}
	if u.Fragment == "" || path.Ext(file) != ".md" {
		return ""
	}
	raw, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err.Error()
	}
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(string(raw), ""), -1) {
		if anchor(h[1]) == u.Fragment {
			return ""
		}
	}
	return "the file has no such heading"
}

// anchor is the name that a code host gives to a heading.
func anchor(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}
