package record

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// magic begins a file. The number is the format's.
const magic = "catalyst-recording 1\n"

// maxFrame bounds one entry: a message and what surrounds it.
const maxFrame = 1 << 20

// Kinds of entries.
const (
	entryStart      = 'S' // what the speaker is made of; the first of a file
	entryCheckpoint = 'C' // an event that rebuilds state
	entryLive       = 'L' // the checkpoint is complete, recorded events follow
	entryEvent      = 'E'
	entryFeed       = 'F' // what a consumer of the Loc-RIB did
)

// start is what a speaker is made of.
type start struct {
	Version    string
	Config     speaker.Config
	At         time.Time
	Chance     []byte // state of the generator (rand.PCG)
	Checkpoint bool   // events that rebuild state follow
	Continues  bool   // nothing is missing between the file before and this one
}

// live ends a checkpoint.
type live struct {
	At     time.Time
	Chance []byte
	Feeds  []uint64 // consumers of the Loc-RIB
}

// What a consumer of the Loc-RIB does. Its place decides when the table may let go of a name, and that in turn the order of later messages.
const (
	feedAdded = 1
	feedTook  = 2
	feedGone  = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant in all but name

// appendFrame appends an entry: its length, itself, its checksum.
func appendFrame(dst, body []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = append(dst, body...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, castagnoli))
}

// reader reads entries.
type reader struct{ r *bufio.Reader }

// errCutOff tells that a file ends within an entry, as it does when the process was killed.
var errCutOff = errors.New("the recording is cut off within an entry") //nolint:gochecknoglobals // a sentinel

func newReader(r io.Reader) (*reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(b, head); err != nil || string(head) != magic {
		return nil, errors.New("is no recording of this version of Catalyst")
	}
	return &reader{b}, nil
}

// next returns the next entry; io.EOF at the end, errCutOff within one.
func (r *reader) next() ([]byte, error) {
	size, err := binary.ReadUvarint(r.r)
	switch {
	case errors.Is(err, io.EOF) && size == 0:
		return nil, io.EOF
	case err != nil:
		return nil, errCutOff
	case size == 0 || size > maxFrame:
		return nil, fmt.Errorf("entry of %d bytes: want 1 to %d", size, maxFrame)
	}
	body := make([]byte, size)
	var sum [4]byte
	if _, err := io.ReadFull(r.r, body); err != nil {
		return nil, errCutOff
	}
	if _, err := io.ReadFull(r.r, sum[:]); err != nil {
		return nil, errCutOff
	}
	if binary.LittleEndian.Uint32(sum[:]) != crc32.Checksum(body, castagnoli) {
		return nil, errors.New("entry with a wrong checksum: the file is damaged")
	}
	return body, nil
}

func readJSON(body []byte, into any) error {
	if err := json.Unmarshal(body[1:], into); err != nil {
		return fmt.Errorf("entry %q: %w", body[0], err)
	}
	return nil
}

// timed reads the time of an entry, in nanoseconds since the entry before, and what follows.
func timed(b []byte) (time.Duration, []byte, error) {
	d, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, errShort
	}
	return time.Duration(d), b[n:], nil
}

// feedOp reads what a consumer did.
func feedOp(b []byte) (op byte, id uint64, n int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, errShort
	}
	id, size := binary.Uvarint(b[1:])
	if size <= 0 {
		return 0, 0, 0, errShort
	}
	limit, more := binary.Uvarint(b[1+size:])
	if more <= 0 || limit > 1<<20 {
		return 0, 0, 0, errShort
	}
	return b[0], id, int(limit), nil
}
