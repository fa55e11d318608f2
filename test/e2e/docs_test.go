package e2e_test

import (
	"bytes"
	"html"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

var exampleOf = regexp.MustCompile(`(?s)<pre>(curl .*?)</pre>`)

// words are what a shell makes of a line that begins with curl.
func words(t *testing.T, url, key, line string) []string {
	t.Helper()
	script := "set -u; URL=" + url + " ADMIN_KEY=" + service.DefaultAdminKey + " KEY=" + key + ` PROJECT=1 BRANCH=default SCHEMA=b TABLE=t BUCKET=b FILE=1 ID=1 NAME=jobs.List SLUG=conflict KEY_ID=none TARGETPROJECT=2
		curl() { printf '%s\0' "$@"; }
		` + line
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// Each example of the page is a request that the service takes: it finds the route,
// with the right key, and the input has the declared shape.
func TestDocsExamples(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	must(t, p.CreateBucket(t.Context(), "b"))
	must(t, p.CreateTable(t.Context(), "b", "t", []string{"id"}))
	var page bytes.Buffer
	_, err = s.Admin().Do(t.Context(), http.MethodGet, "/docs", nil, &page)
	must(t, err)
	var examples []string
	for _, m := range exampleOf.FindAllStringSubmatch(page.String(), -1) {
		if line := html.UnescapeString(m[1]); !strings.Contains(line, "/admin/plugins") && !strings.Contains(line, "/admin/reload") { // they change the service
			examples = append(examples, line)
		}
	}
	if len(examples) < 30 {
		t.Fatalf("the page has %d examples", len(examples))
	}
	slices.SortStableFunc(examples, func(a, b string) int { // what removes things comes last, the project at the very end
		last := strings.NewReplacer(`DELETE "$URL/projects/${PROJECT}"`, "DELETE DELETE")
		return strings.Count(last.Replace(a), "DELETE") - strings.Count(last.Replace(b), "DELETE")
	})
	for _, line := range examples {
		method, url, header, body := http.MethodGet, "", http.Header{}, ""
		args := words(t, s.URL(), p.Key, line)
		for ; len(args) > 0; args = args[1:] {
			if strings.HasPrefix(args[0], s.URL()) {
				url = strings.TrimPrefix(args[0], s.URL())
				continue
			}
			value := args[1]
			switch args[0] {
			case "-X":
				method = value
			case "-H":
				name, text, _ := strings.Cut(value, ": ")
				header.Set(name, text)
			case "-d", "--data-binary":
				body = value
			case "-o":
			default:
				t.Fatalf("%s: an option that nobody knows: %s", line, args[0])
			}
			args = args[1:]
		}
		resp, err := service.Client{URL: s.URL()}.Send(t.Context(), method, url, header, strings.NewReader(body))
		must(t, err)
		resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
			http.StatusUnsupportedMediaType, http.StatusInternalServerError, http.StatusNotImplemented:
			t.Errorf("%s\nis answered with %d", line, resp.StatusCode)
		}
	}
}
