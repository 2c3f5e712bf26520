// Package audit keeps what was ordered of a node, and by whom: a line of JSON in a file for each order, and the newest
// of them at hand for whoever asks.
//
//	l, err := audit.Open(filepath.Join(data, audit.File), log)
//	l.Write(audit.Entry{By: "USER acme.example/ann", Action: "drain", Outcome: audit.Done})
//	entries := l.Newest(100, func(e *audit.Entry) bool { return e.Outcome == audit.Refused })
//
// It holds no token, no secret and no key: whoever writes an entry leaves them out.
package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// File is the name of the file in a node's data directory. The one before it has ".1" at its end.
const File = "audit.jsonl"

// Outcomes.
const (
	Done    = "done"
	Failed  = "failed"  // it was permitted, and could not be done
	Refused = "refused" // by policy
)

const (
	fileBytes = 8 << 20 // after which the file is moved to File.1
	// Kept is how many entries are at hand; the files have more.
	Kept    = 1000
	maxText = 500 // bytes of each text
	// Anybody with a token can be refused: that is written down so often and no more, the rest is counted.
	refusalBurst = 100
	refusalsRate = rate.Limit(1)
)

// Entry is one order.
type Entry struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Action  string    `json:"action"`           // the operation of the operator API, or what happened to a peering
	Target  string    `json:"target,omitempty"` // what it was done to
	Outcome string    `json:"outcome"`
	Detail  string    `json:"detail,omitempty"`
	// LeftOut is how many refusals before it were not written down.
	LeftOut int `json:"leftOut,omitempty"`
}

// Log is the audit of a node. It is safe for concurrent use.
type Log struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex
	file     *os.File // guarded by mu
	size     int64    // of file; guarded by mu
	refusals *rate.Limiter
	leftOut  int     // guarded by mu: refusals since the last that was written
	kept     []Entry // oldest first; guarded by mu
}

// Open goes on with the file at path, and makes it if there is none.
func Open(path string, log *slog.Logger) (*Log, error) {
	l := &Log{path: path, log: log, refusals: rate.NewLimiter(refusalsRate, refusalBurst)}
	for _, name := range []string{path + ".1", path} {
		if err := l.recall(name); err != nil {
			return nil, fmt.Errorf("read the audit: %w", err)
		}
	}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the audit: %w", err)
	}
	return l, nil
}

// recall has the newest entries of a file at hand. A line that was cut off, by a machine that lost its power, is left
// out.
func (l *Log) recall(name string) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			l.keep(e)
		}
	}
	return errors.Join(err, lines.Err())
}

// open opens the file. The caller holds mu, or nobody else knows l.
func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	if l.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, l.size-1); err == nil && last[0] != '\n' { // the end of a line was lost
		_, err = f.Write([]byte{'\n'})
		return err
	}
	return nil
}

func (l *Log) keep(e Entry) {
	if l.kept = append(l.kept, e); len(l.kept) >= 2*Kept {
		l.kept = append([]Entry(nil), l.kept[len(l.kept)-Kept:]...)
	}
}

// Write writes an entry down. One that cannot be written is told of in the node's log.
func (l *Log) Write(e Entry) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	for _, text := range []*string{&e.By, &e.Action, &e.Target, &e.Detail} {
		*text = clip(*text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Outcome == Refused && !l.refusals.Allow() {
		l.leftOut++
		return
	}
	e.LeftOut, l.leftOut = l.leftOut, 0
	l.keep(e)
	if err := l.append(&e); err != nil {
		l.log.Error("the audit cannot be written", "file", l.path, "by", e.By, "action", e.Action, "target", e.Target,
			"outcome", e.Outcome, "error", err)
	}
}

func (l *Log) append(e *Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if l.size > fileBytes {
		if err := errors.Join(l.file.Close(), os.Rename(l.path, l.path+".1")); err != nil {
			return errors.Join(err, l.open())
		}
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(append(b, '\n'))
	l.size += int64(n)
	return err
}

// Newest returns the newest entries that takes takes, newest first, at most so many of those at hand.
func (l *Log) Newest(most int, takes func(*Entry) bool) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := []Entry{}
	for i := len(l.kept) - 1; i >= 0 && len(all) < most; i-- {
		if takes(&l.kept[i]) {
			all = append(all, l.kept[i])
		}
	}
	return all
}

// Close closes the file. Nothing is written after it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// clip cuts a text to maxText bytes, between characters.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}
