package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// maxLines is where a file has a second idea in it.
const maxLines = 500

var renameOwner = Rule{
	"disk owns renames", "a rename is durable only with a sync of both folders, which disk does",
	calls([]string{"core/internal/disk"}, func(f *File, c *ast.CallExpr) bool { return isCall(f, c, "os", "Rename") || isCall(f, c, "os", "Link") }),
}

var syncOwner = Rule{
	"disk and files own syncs", "what was acknowledged is on disk; who syncs elsewhere thinks of durability in a second place",
	calls([]string{"core/internal/disk", "core/internal/files"}, func(f *File, c *ast.CallExpr) bool {
		s, ok := c.Fun.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "Sync" && len(c.Args) == 0 || isCall(f, c, "syscall", "Fsync")
	}),
}

// calls binds the product's code to make some calls in their owners only. An
// owner that makes none is named for nothing.
func calls(owners []string, forbidden func(*File, *ast.CallExpr) bool) func(*Tree) []string {
	return func(t *Tree) []string {
		var out []string
		used := map[string]bool{}
		for _, f := range t.Go {
			if f.Test || !matchesAny(inModule, f.Dir) {
				continue
			}
			ast.Inspect(f.Syntax, func(n ast.Node) bool {
				c, ok := n.(*ast.CallExpr)
				if !ok || !forbidden(f, c) {
					return true
				}
				if used[f.Dir] = true; !slices.Contains(owners, f.Dir) {
					out = append(out, f.line(c)+" calls it")
				}
				return true
			})
		}
		for _, o := range owners {
			if !used[o] {
				out = append(out, fmt.Sprintf("the rule names %s, and nothing there needs it", o))
			}
		}
		return out
	}
}

// isCall reports a call of a function of a package, whatever the file calls it.
func isCall(f *File, c *ast.CallExpr, pkg, function string) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != function {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return false
	}
	for _, spec := range f.Syntax.Imports {
		if spec.Path.Value == `"`+pkg+`"` {
			return spec.Name == nil && x.Name == path.Base(pkg) || spec.Name != nil && x.Name == spec.Name.Name
		}
	}
	return false
}

var noInit = Rule{
	"nothing happens at import", "no registration and no globals that fill themselves: main says what runs, in which order",
	func(t *Tree) []string {
		var out []string
		for _, f := range t.Go {
			for _, d := range f.Syntax.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.Generated() {
					out = append(out, f.line(fn)+" has a func init")
				}
			}
			for _, spec := range f.Syntax.Imports {
				if spec.Name != nil && (spec.Name.Name == "." || spec.Name.Name == "_" && spec.Path.Value != `"embed"`) {
					out = append(out, fmt.Sprintf("%s imports %s as %s", f.line(spec), spec.Path.Value, spec.Name.Name))
				}
			}
		}
		return out
	},
}

var packageDoc = Rule{
	"every package has a doc", "it says what the package is for, where to start and what it promises",
	func(t *Tree) []string {
		found := map[string]bool{}
		for _, f := range t.Go {
			if text := f.Syntax.Doc.Text(); strings.HasPrefix(text, "Package "+f.Syntax.Name.Name+" ") || strings.HasPrefix(text, "Command ") && f.Syntax.Name.Name == "main" {
				found[f.Dir] = true
			}
		}
		var out []string
		for _, dir := range t.dirs() {
			if !found[dir] {
				out = append(out, dir+" has no doc that starts with Package or Command and its name")
			}
		}
		return out
	},
}

var packageName = Rule{
	"packages are nouns", "a drawer for everything has no owner and no promise",
	func(t *Tree) []string {
		var out []string
		for _, dir := range t.dirs() {
			for _, part := range strings.Split(dir, "/") {
				if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "models", "misc", "shared"}, part) {
					out = append(out, dir+" is a drawer for everything")
				}
			}
		}
		return out
	},
}

var fileLength = Rule{
	"files have one idea", fmt.Sprintf("past %d lines there is a second one", maxLines),
	func(t *Tree) []string {
		var out []string
		for _, f := range t.Go {
			if f.Lines > maxLines && !f.Generated() {
				out = append(out, fmt.Sprintf("%s has %d lines", f.Path, f.Lines))
			}
		}
		return out
	},
}
