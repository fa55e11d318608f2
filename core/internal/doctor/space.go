package doctor

import "fmt"

const (
	// fewInodes cannot hold a day's files and the folders of a few projects.
	fewInodes = 1000
	// share of a file system that should stay free: below 10 % most file systems
	// become slow, and one large import may fill it.
	share = 10
)

// remote and fleeting are kinds of file systems on which data are not safe.
var (
	remote = map[string]bool{
		"nfs": true, "cifs": true, "smb3": true, "smb": true, "9p": true, "ceph": true, "afs": true, "lustre": true, "gpfs": true,
		"ocfs2": true, "gfs2": true, "fuse": true,
	}
	fleeting = map[string]string{
		"tmpfs": "is memory: what is there is gone with the machine, and counts against its memory", "ramfs": "is memory, without a limit",
		"overlay": "goes with its container: mount a volume there",
	}
)

// space looks at the file systems of the data and of what DuckDB spills.
func (x *examination) space() []Check {
	return append(
		x.filesystem([3]string{"filesystem", "freeSpace", "inodes"}, existing(x.Layout.Root)),
		x.filesystem([3]string{"tempFilesystem", "tempSpace", "tempInodes"}, existing(x.TempDir))...)
}

func (x *examination) filesystem(names [3]string, path string) []Check {
	found, err := x.Filesystem(path)
	if err != nil {
		return []Check{failed(names[0], "%s", explain(err))}
	}
	return []Check{
		judgeKind(names[0], path, found.Kind),
		judgeSpace(names[1], path, found, uint64(x.MinFree)),
		judgeInodes(names[2], path, found),
	}
}

func judgeKind(name, path, kind string) Check {
	switch {
	case remote[kind]:
		return warning(name, "%s is on %s: DuckDB needs locks and syncs that hold, which a network does not promise; use a local disk", path, kind)
	case fleeting[kind] != "":
		return warning(name, "%s is on %s, which %s", path, kind, fleeting[kind])
	case kind == "":
		return ok(name, "%s is on a file system of a kind that is not known here", path)
	}
	return ok(name, "%s is on %s", path, kind)
}

func judgeSpace(name, path string, fs Filesystem, least uint64) Check {
	free := fmt.Sprintf("%s of %s are free for %s", size(fs.FreeBytes), size(fs.Bytes), path)
	switch {
	case fs.FreeBytes < least:
		return failed(name, "%s, and %s are the least (min_free): free some space, or move it to a larger disk", free, size(least))
	case fs.FreeBytes < fs.Bytes/share:
		return warning(name, "%s, which is less than %d %%: free some space soon", free, share)
	}
	return ok(name, "%s", free)
}

func judgeInodes(name, path string, fs Filesystem) Check {
	if fs.Inodes == 0 {
		return ok(name, "the file system of %s does not limit how many files it holds", path)
	}
	free := fmt.Sprintf("%d of %d inodes are free for %s", fs.FreeInodes, fs.Inodes, path)
	switch {
	case fs.FreeInodes < fewInodes:
		return failed(name, "%s, and %d are the least: remove small files, or make a file system with more inodes", free, fewInodes)
	case fs.FreeInodes < fs.Inodes/share:
		return warning(name, "%s, which is less than %d %%: remove small files soon", free, share)
	}
	return ok(name, "%s", free)
}

// size shows bytes for a person.
func size(bytes uint64) string {
	if bytes < 10<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d GiB", bytes>>30)
}
