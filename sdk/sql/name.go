package sql

import "strings"

// DuckDB folds the case of A to Z in names and of no other letter (measured, 1.5.6):
// "Ä" and "ä" are two schemas.
const (
	upper template = "'ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
	lower template = "'abcdefghijklmnopqrstuvwxyz'"
)

// SameName is a condition: the column holds the name, as DuckDB compares names.
func SameName(column Name, name string) Statement {
	return New("translate(?, "+upper+", "+lower+") = ?", column, Fold(name))
}

// Fold returns a name in the one form in which DuckDB compares names.
func Fold(name string) string { return strings.Map(fold, name) }

func fold(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
