package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// The page for people is one file: it works without a network beyond the service
// itself, and without scripts.
var (
	//go:embed docs.html
	docsHTML string
	//go:embed docs.css
	docsCSS string
	//go:embed docs.js
	docsJS string
)

const htmlType = "text/html; charset=utf-8"

// pages makes pages. Its template escapes all that a plugin says.
type pages struct {
	template *template.Template
	policy   string
}

// newPages parses the template of this package, so that it fails in every test or
// in none.
func newPages() *pages {
	return &pages{
		template: template.Must(template.New("docs").Parse(docsHTML)),
		// The page may use its own style and script, known by their hashes, and nothing
		// else from anywhere.
		policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			hashOf(docsCSS), hashOf(docsJS)),
	}
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// contents are what the template shows: the page, or one type of problem.
type contents struct {
	Style, Script template.HTML
	Page          page
	Problem       *problemType
}

func (p *pages) render(c contents) ([]byte, error) {
	c.Style, c.Script = template.HTML("<style>"+docsCSS+"</style>"), template.HTML("<script>"+docsJS+"</script>")
	var out bytes.Buffer
	err := p.template.Execute(&out, c)
	return out.Bytes(), err
}

// docsPage is the page of a table. It follows from its arguments alone.
func docsPage(p *pages, t *pluginhost.Table, version string) ([]byte, error) {
	return p.render(contents{Page: newPage(describe(t, version))})
}

// send answers with a page.
func (p *pages) send(to http.ResponseWriter, html []byte) {
	h := to.Header()
	h.Set("Content-Type", htmlType)
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-cache") // a reload of plugins makes another page
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	to.Write(html)
}

// showDocs shows the API to people.
func (s *Server) showDocs(w http.ResponseWriter, r *http.Request) {
	html, err := s.surface().docs()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.pages.send(w, html)
}

// showProblem shows a type of problem: as a page to whoever likes HTML best, and as JSON
// to all others.
func (s *Server) showProblem(w http.ResponseWriter, r *http.Request) {
	slug := mux.Vars(r)["slug"]
	found, ok := problemTypes(s.cfg.Host.Table())[slug]
	if !ok {
		s.fail(w, r, sdk.ErrNotFound.Errorf("there is no type of problem %q; see /docs", slug))
		return
	}
	w.Header().Add("Vary", "Accept")
	if !likesHTML(r.Header.Get("Accept")) {
		writeJSON(w, http.StatusOK, found)
		return
	}
	html, err := s.pages.render(contents{Problem: &found})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.pages.send(w, html)
}

// likesHTML reports whether a client names HTML before JSON.
func likesHTML(accept string) bool {
	for _, wish := range wishes(accept) {
		switch {
		case wish.quality <= 0:
		case wish.name == "text/html", wish.name == "text/*":
			return true
		case strings.HasPrefix(wish.name, "*/"), matches(wish.name, string(engine.JSON)):
			return false
		}
	}
	return false
}
