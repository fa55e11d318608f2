package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

const (
	// maxEntryBytes bounds one line of output, so that what hclog writes can be read
	// whole, with its level and its fields; the rest of the line is dropped.
	maxEntryBytes = 1 << 20
	// maxLineBytes bounds each text of it that goes to the log.
	maxLineBytes = 64 << 10
	// tailLines and tailLineBytes bound what is kept for the report of a crash.
	tailLines     = 50
	tailLineBytes = 4 << 10
	// linesBeforeCrash are kept of what the plugin printed before it panicked.
	linesBeforeCrash = 10
)

// output takes what a plugin process prints, line by line: it goes to the log
// with its level, and the last lines are kept for the report of a crash.
//
// go-plugin would read stderr itself, but a line such as {"@message":1} makes
// it panic, and the host with it.
type output struct {
	log hclog.Logger

	mu    sync.Mutex
	last  []string
	crash bool // in the middle of the runtime's report of a crash
}

// tail returns the last lines, oldest first.
func (o *output) tail() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.last)
}

// line takes one line without its end.
func (o *output) line(line []byte) {
	text := strings.ToValidUTF8(string(line[:min(len(line), maxLineBytes)]), "\uFFFD")
	level, message, fields, ok := parseEntry(line)
	if !ok {
		level, message = hclog.Info, text
	}
	if o.keep(text) {
		level = hclog.Error
	}
	for i, f := range fields {
		if s, isText := f.(string); isText {
			fields[i] = clip(s)
		}
	}
	o.log.Log(level, clip(message), fields...)
}

// clip shortens a text that is too long for the log, and says so.
func clip(s string) string {
	if len(s) <= maxLineBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxLineBytes], "") + fmt.Sprintf("… (%d bytes)", len(s))
}

// keep adds to the last lines and reports whether the line belongs to the Go
// runtime's report of a crash. That report comes last and its beginning says
// most, so once it has begun nothing before it is dropped any more.
func (o *output) keep(text string) (crash bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.crash && (strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ")) {
		o.crash = true
		o.last = o.last[max(0, len(o.last)-linesBeforeCrash):]
	}
	if len(o.last) == tailLines {
		if o.crash {
			return true
		}
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, text[:min(len(text), tailLineBytes)])
	return o.crash
}

// parseEntry reads a line that hclog has written as JSON. The time is left to
// the host's log, and the module is the plugin's name, which it has too.
func parseEntry(line []byte) (level hclog.Level, message string, fields []any, ok bool) {
	if !bytes.HasPrefix(line, []byte("{")) {
		return 0, "", nil, false
	}
	var entry map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // a float64 would change large integers
	if d.Decode(&entry) != nil {
		return 0, "", nil, false
	}
	message, hasMessage := entry["@message"].(string)
	name, _ := entry["@level"].(string)
	level = hclog.LevelFromString(name)
	if !hasMessage || level == hclog.NoLevel || level == hclog.Off {
		return 0, "", nil, false
	}
	for _, key := range slices.Sorted(maps.Keys(entry)) {
		switch key {
		case "@message", "@level", "@timestamp", "@module":
		default:
			fields = append(fields, key, entry[key])
		}
	}
	return level, message, fields, true
}

// lines is a writer that hands on whole lines. It is for one goroutine.
type lines struct {
	emit    func(line []byte)
	partial []byte
}

func (l *lines) Write(p []byte) (int, error) {
	written := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		l.partial = append(l.partial, line[:min(len(line), maxEntryBytes-len(l.partial))]...)
		if !found {
			return written, nil
		}
		l.flush()
		p = rest
	}
}

// flush hands on a last line that has no end.
func (l *lines) flush() {
	if len(l.partial) > 0 {
		l.emit(l.partial)
		l.partial = l.partial[:0]
	}
}
