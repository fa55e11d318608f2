package sdk

import (
	"slices"
	"strings"
)

// Level is how much a key may do in its project. Each level has all of the one before.
type Level int

// The levels. A key with none may do what any key may.
const (
	LevelNone  Level = iota
	LevelRead        // look
	LevelWrite       // change what is in the project
	LevelAdmin       // all of the project, its keys as well
)

// levels are the names of the levels from LevelRead on.
var levels = []string{"read", "write", "admin"}

// LevelOf is the highest of the levels that are named. An unknown name, perhaps of a
// later release, is none of them.
func LevelOf(names []string) Level {
	highest := LevelNone
	for _, name := range names {
		highest = max(highest, Level(slices.Index(levels, name)+1))
	}
	return highest
}

// Names lists what the level has: itself and those before it.
func (l Level) Names() []string { return slices.Clone(levels[:l]) }

// Allows reports whether a key of a project with this level may do what takes a
// permission. A permission that ends in none of the levels takes LevelAdmin: nothing is
// given away by a name that nobody knows.
func (l Level) Allows(permission string) bool {
	switch permission {
	case AnyKey:
		return true
	case AdminOnly: // the key of the whole service
		return false
	}
	needed := LevelAdmin
	if _, name, ok := strings.Cut(permission, ":"); ok && slices.Contains(levels, name) {
		needed = LevelOf([]string{name})
	}
	return l >= needed
}
