package crash_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// fixed are the paths below a data directory that every stopped service leaves;
// those of folders end with a slash.
var fixed = []string{"lock", "duckdb/", "files/", "metadata/", "metadata/registry.duckdb", "metadata/files.duckdb"}

var (
	catalogPath = regexp.MustCompile(`^duckdb/project_([A-Za-z0-9-]+)_main\.duckdb$`)
	folderPath  = regexp.MustCompile(`^files/project_([A-Za-z0-9-]+)/(staging/|\d{4}/|\d{4}/\d\d/|\d{4}/\d\d/\d\d/)?$`)
	// The folder in which databases spill, and that of one of them. They may be left;
	// the next start removes them.
	spillPath   = regexp.MustCompile(`^tmp/([A-Za-z0-9_-]+/)?$`)
	registryLog = regexp.MustCompile(`^metadata/(registry|files)\.duckdb\.wal$`)
	stagedPath  = regexp.MustCompile(`^files/project_([A-Za-z0-9-]+)/staging/(\d+)-[^/]+$`)
	filePath    = regexp.MustCompile(`^files/project_([A-Za-z0-9-]+)/\d{4}/\d\d/\d\d/(\d+)-[^/]+$`)
)

// checkDisk walks the data directory of a service that was stopped in order and
// reports all that does not belong there, and all that is missing. want holds the
// files of every project that there is, by id.
func checkDisk(dir string, want map[string]map[string]file) error {
	return walk(dir, diskCheck{want: want})
}

// checkRunning is checkDisk while the service runs and no project is open: what
// belongs to the run, and the logs of the registries, may be there.
func checkRunning(dir string, want map[string]map[string]file) error {
	return walk(dir, diskCheck{want: want, running: true})
}

func walk(dir string, d diskCheck) error {
	d.seen = map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if d.running && errors.Is(err, fs.ErrNotExist) {
			return nil // a folder of spilled data that goes with its database
		}
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.running && rel == "run":
			return fs.SkipDir
		case e.IsDir():
			rel += "/"
		case !e.Type().IsRegular():
			d.fault("%s is a %s", rel, e.Type())
			return nil
		}
		d.seen[rel] = true
		return d.visit(path, rel)
	})
	d.missing()
	return errors.Join(append(d.faults, err)...)
}

// diskCheck is a walk and what it found.
type diskCheck struct {
	want    map[string]map[string]file
	running bool
	seen    map[string]bool // what was visited, and "project/id" of each file that is right
	faults  []error
}

func (d *diskCheck) fault(format string, args ...any) {
	d.faults = append(d.faults, fmt.Errorf(format, args...))
}

// visit finds to whom a path belongs.
func (d *diskCheck) visit(path, rel string) error {
	if slices.Contains(fixed, rel) || spillPath.MatchString(rel) || d.running && registryLog.MatchString(rel) {
		return nil
	}
	for _, pattern := range []*regexp.Regexp{catalogPath, folderPath} {
		if m := pattern.FindStringSubmatch(rel); m != nil {
			if _, lives := d.want[m[1]]; !lives {
				d.fault("%s belongs to no project", rel)
			}
			return nil
		}
	}
	if m := filePath.FindStringSubmatch(rel); m != nil {
		return d.bytes(path, rel, m[1], m[2], "registered")
	}
	if m := stagedPath.FindStringSubmatch(rel); m != nil {
		if d.want[m[1]][m[2]].state == "prepared" {
			// An upload was killed after its bytes were complete and before its row
			// was. The client sends them again, or deletes the file.
			return nil
		}
		return d.bytes(path, rel, m[1], m[2], "uploaded")
	}
	d.fault("%s is a leftover", rel)
	return nil
}

// bytes compares the bytes of a file with its row.
func (d *diskCheck) bytes(path, rel, project, id, state string) error {
	f, ok := d.want[project][id]
	if !ok {
		d.fault("%s belongs to no file", rel)
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); f.state != state || f.sha256 != got {
		d.fault("%s has sha256 %s and should be %s, but file %s is %s with %s", rel, got, state, id, f.state, f.sha256)
		return nil
	}
	d.seen[project+"/"+id] = true
	return nil
}

// missing reports what should be there and was not seen.
func (d *diskCheck) missing() {
	for _, name := range fixed {
		if !d.seen[name] {
			d.fault("%s is missing", name)
		}
	}
	for project, files := range d.want {
		for _, name := range []string{"duckdb/project_%s_main.duckdb", "files/project_%s/", "files/project_%s/staging/"} {
			if name = strings.ReplaceAll(name, "%s", project); !d.seen[name] {
				d.fault("%s is missing", name)
			}
		}
		for id, f := range files {
			if f.state != "prepared" && !d.seen[project+"/"+id] {
				d.fault("the bytes of file %s, which is %s, are missing", id, f.state)
			}
		}
	}
}
