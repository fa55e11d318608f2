package doctor

import (
	"os"
	"path/filepath"
	"time"
)

const (
	// firstYear and lastYear are those between which a clock can be right.
	firstYear, lastYear = 2026, 2100
	// maxBehind is how far the clock may be behind what was recorded: as far as a
	// time service sets one back without anybody noticing.
	maxBehind = time.Minute
	// maxSkew is how far the clocks of file system and system may be apart.
	maxSkew = 5 * time.Second
)

// clock looks at the time. Names of files, expiry and the order of what was recorded
// come from it.
func (x *examination) clock() Check {
	const name = "clock"
	now, newest := x.Now().UTC(), x.newest()
	shown := now.Format(time.RFC3339)
	if year := now.Year(); year < firstYear || year > lastYear {
		return failed(name, "it is %s by the clock of the system: set it, and let a time service keep it (chrony, systemd-timesyncd)", shown)
	}
	if behind := newest.Sub(now); behind > maxBehind {
		return failed(name, "it is %s by the clock of the system, and something was recorded at %s: set the clock, or wait until it is past that",
			shown, newest.UTC().Format(time.RFC3339))
	}
	t := x.try(existing(x.Layout.Root))
	if t.err == nil && t.skew() > maxSkew {
		return warning(name, "the clock of the file system of %s is %s apart from that of the system: let one time service keep both", x.Layout.Root, t.skew().Round(time.Second))
	}
	return ok(name, "%s", shown)
}

// newest is the newest time that the service has left. A folder that cannot be read has
// a check of its own.
func (x *examination) newest() time.Time {
	newest := x.Recorded
	entries, _ := os.ReadDir(x.Layout.Metadata())
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(x.Layout.Metadata(), e.Name()))
		if err == nil && info.Mode().IsRegular() && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}
