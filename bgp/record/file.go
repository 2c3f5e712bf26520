package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// magic begins a file. The number is the format's.
const magic = "catalyst-recording 1\n"

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

// What a consumer of the Loc-RIB does. Its place decides when the table may let go of a name, and that in turn the
// order of later messages.
const (
	feedAdded = 1
	feedTook  = 2
	feedGone  = 3
)

func openFile(r io.Reader) (*logfile.Reader, error) {
	f, err := logfile.NewReader(r, magic)
	if err != nil {
		return nil, fmt.Errorf("is no recording of this version of Catalyst: %w", err)
	}
	return f, nil
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
