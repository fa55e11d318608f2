// Package arch guards the rules of the house that the compiler cannot: who may
// import whom, which package owns a dangerous thing, and that documents point to
// files that exist.
//
// Start with [Rules]. Each has a reason and works on a [Tree], which parses the
// module's files itself and asks no go command, so that its answer follows from
// the files alone. Files behind every build tag count; generated code is told by
// its first line.
//
// Not promised: that a rule cannot be got around. It finds mistakes.
package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the path of the product's module.
const Module = "github.com/keboola/duckdb-storage"

// Tree is a parsed module.
type Tree struct {
	fsys fs.FS
	Go   []*File
	Docs []string // paths of Markdown files
}

// File is one Go file.
type File struct {
	Path    string // below the module, with slashes
	Dir     string // of the package; "." is the root
	Test    bool   // _test.go
	Lines   int
	Imports []string // as written, sorted
	Syntax  *ast.File

	set *token.FileSet
}

// Generated reports whether the file says that it is.
func (f *File) Generated() bool { return ast.IsGenerated(f.Syntax) }

// line is where a node stands.
func (f *File) line(n ast.Node) string {
	return f.Path + ":" + strconv.Itoa(f.set.Position(n.Pos()).Line)
}

// Parse reads a module. Folders with a go.mod of their own are other modules;
// testdata, bin, data and hidden folders are no code.
func Parse(fsys fs.FS) (*Tree, error) {
	t := &Tree{fsys: fsys}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && skipped(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		switch path.Ext(name) {
		case ".md":
			t.Docs = append(t.Docs, name)
		case ".go":
			f, err := parse(fsys, name)
			if err != nil {
				return err
			}
			t.Go = append(t.Go, f)
		}
		return nil
	})
	return t, err
}

func skipped(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || dir == "bin" || dir == "data" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func parse(fsys fs.FS, name string) (*File, error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	f := &File{Path: name, Dir: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet()}
	f.Lines = bytes.Count(src, []byte("\n"))
	if f.Syntax, err = parser.ParseFile(f.set, name, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	for _, spec := range f.Syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		f.Imports = append(f.Imports, p)
	}
	slices.Sort(f.Imports)
	return f, nil
}

// dirs lists the packages, by folder.
func (t *Tree) dirs() []string {
	var out []string
	for _, f := range t.Go {
		out = append(out, f.Dir)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// local is the folder of an import of this module.
func local(imported string) (dir string, ok bool) {
	if imported == Module {
		return ".", true
	}
	return strings.CutPrefix(imported, Module+"/")
}

// matches reports whether a name is the pattern or, for a pattern that ends in
// "/...", is the folder before it or below it.
func matches(pattern, name string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == below || strings.HasPrefix(name, below+"/")
	}
	return name == pattern
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}
