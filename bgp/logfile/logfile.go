// Package logfile frames the records of a file that is only ever appended to: after a line that names the format
// comes each record as its length (a uvarint), itself, and its checksum (CRC-32C). A file that ends within a record,
// as it does when the process was killed, says so.
package logfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// MaxRecord is the most bytes of one record.
const MaxRecord = 1 << 20

// ErrCutOff tells that a file ends within a record.
var ErrCutOff = errors.New("the file is cut off within a record") //nolint:gochecknoglobals // a sentinel

// ErrFormat tells that a file does not begin as it should.
var ErrFormat = errors.New("the file is of another format") //nolint:gochecknoglobals // a sentinel

// Append appends a record, of 1 to MaxRecord bytes, to dst.
func Append(dst, record []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(record)))
	dst = append(dst, record...)
	return binary.LittleEndian.AppendUint32(dst, sum(record))
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Reader reads records.
type Reader struct{ r *bufio.Reader }

// NewReader reads the line that names the format, which ends with a line feed; ErrFormat if it is another.
func NewReader(r io.Reader, format string) (*Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, len(format))
	if _, err := io.ReadFull(b, head); err != nil || string(head) != format {
		return nil, ErrFormat
	}
	return &Reader{b}, nil
}

// Next returns the next record, which is the caller's; io.EOF at the end, ErrCutOff within one, and another error for
// one that is damaged.
func (r *Reader) Next() ([]byte, error) {
	if _, err := r.r.Peek(1); errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	size, err := binary.ReadUvarint(r.r)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrCutOff
	case err != nil:
		return nil, fmt.Errorf("length of a record: %w", err)
	case size == 0 || size > MaxRecord:
		return nil, fmt.Errorf("record of %d bytes: want 1 to %d", size, MaxRecord)
	}
	b := make([]byte, size+4)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, ErrCutOff
	}
	record := b[:size:size]
	if binary.LittleEndian.Uint32(b[size:]) != sum(record) {
		return nil, errors.New("record with a wrong checksum: the file is damaged")
	}
	return record, nil
}
