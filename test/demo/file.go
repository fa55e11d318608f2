package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
)

// csvFile is a file on this side of the wire.
type csvFile struct {
	path   string
	size   int64
	sha256 string // hex
}

// generate writes the CSV file.
func generate(path string, rows int64) (csvFile, error) {
	f, err := create(path)
	if err != nil {
		return csvFile{}, err
	}
	err = writeOrders(f, seed, rows)
	out, closeErr := f.done()
	return out, errors.Join(err, closeErr)
}

// measured is a file that is written and measured on the way.
type measured struct {
	file *os.File
	buf  *bufio.Writer
	sum  hash.Hash
	out  csvFile
}

func create(path string) (*measured, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	return &measured{file: f, buf: bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20), sum: sum, out: csvFile{path: path}}, nil
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.buf.Write(p)
	m.out.size += int64(n)
	return n, err
}

// done closes the file and tells what is in it.
func (m *measured) done() (csvFile, error) {
	err := errors.Join(m.buf.Flush(), m.file.Close())
	m.out.sha256 = hex.EncodeToString(m.sum.Sum(nil))
	return m.out, err
}
