package record

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Config is what a recorder needs.
type Config struct {
	Dir     string       // required; made if need be
	Bytes   int64        // that all files together may have; required
	Version string       // of the program
	Log     *slog.Logger // required
}

const (
	suffix     = ".rec"
	perBound   = 4                      // files that the bound has room for
	maxPending = 16 << 20               // bytes that wait to be written; beyond, events are left out
	breath     = 100 * time.Millisecond // between two writes
)

// Recorder records one speaker. Begin, Event, Done and Feed are for the loop that owns the speaker, and wait for
// nothing.
type Recorder struct {
	cfg Config

	// Owned by the loop.
	chance  *rand.PCG
	last    time.Time // of the newest entry
	frame   []byte
	digest  digest
	feeds   []uint64
	size    int64 // of the current file
	limit   int64 // at which another begins
	broken  bool  // events are missing: nothing is recorded until a checkpoint
	forcing bool  // a checkpoint is being written, which may have more than maxPending
	stopped bool

	mu      sync.Mutex
	pending []part // guarded by mu
	waiting int    // bytes of pending; guarded by mu
	signal  chan struct{}
	seq     int   // of the newest file; owned by Run
	bytes   int64 // written to it; owned by Run
}

// part is bytes for a file.
type part struct {
	fresh bool // begins another file
	data  []byte
}

// Open makes the directory. Recordings of earlier processes stay in it, within the bound.
func Open(cfg Config) (*Recorder, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of recordings: %w", err)
	}
	r := &Recorder{cfg: cfg, signal: make(chan struct{}, 1), limit: cfg.Bytes / perBound}
	files, err := Files(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		r.seq = number(files[len(files)-1])
	}
	return r, nil
}

// Files returns the files of a recording's directory, oldest first.
func Files(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	slices.SortFunc(files, func(a, b string) int { return number(a) - number(b) })
	return slices.DeleteFunc(files, func(f string) bool { return number(f) == 0 }), err
}

// number is a file's place in the recording; 0 for another file.
func number(file string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), suffix))
	if err != nil {
		return 0
	}
	return n
}

// Begin starts a recording with an empty speaker. chance is the generator that it draws from.
func (r *Recorder) Begin(now time.Time, cfg speaker.Config, chance *rand.PCG) {
	r.chance = chance
	r.begin(now, start{Config: cfg})
}

func (r *Recorder) begin(now time.Time, s start) {
	s.Version, s.At = r.cfg.Version, now
	var err error
	if s.Chance, err = r.chance.MarshalBinary(); err != nil {
		r.fail(err)
		return
	}
	r.last, r.size = now, 0
	r.put(true, []byte(magic))
	r.entry(entryStart, s)
}

// entry writes an entry in JSON.
func (r *Recorder) entry(kind byte, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		r.fail(err)
		return
	}
	r.put(false, logfile.Append(nil, append([]byte{kind}, b...)))
}

// Event notes an event that the speaker is about to take.
func (r *Recorder) Event(now time.Time, ev speaker.Event) {
	if r.stopped || r.broken {
		return
	}
	r.frame = append(r.frame[:0], entryEvent, 0, 0, 0, 0, 0, 0, 0, 0)
	r.frame = binary.AppendVarint(r.frame, int64(now.Sub(r.last)))
	r.last = now
	var err error
	if r.frame, err = appendEvent(r.frame, ev); err != nil {
		r.fail(err)
	}
}

// Done notes what the speaker did, and begins another file when the current one is full.
func (r *Recorder) Done(now time.Time, sp *speaker.Speaker, effects []speaker.Effect) {
	if r.stopped {
		return
	}
	if r.broken {
		r.recover(now, sp)
		return
	}
	binary.LittleEndian.PutUint64(r.frame[1:], r.digest.of(effects))
	r.put(false, logfile.Append(nil, r.frame))
	if r.size >= r.limit {
		r.checkpoint(now, sp, true)
	}
}

// recover goes on with a new file once what waits has been written.
func (r *Recorder) recover(now time.Time, sp *speaker.Speaker) {
	r.mu.Lock()
	waiting := r.waiting
	r.mu.Unlock()
	if waiting == 0 {
		r.broken = false
		r.cfg.Log.Warn("recording goes on, events are missing before")
		r.checkpoint(now, sp, false)
	}
}

// checkpoint begins another file with events that rebuild the speaker.
func (r *Recorder) checkpoint(now time.Time, sp *speaker.Speaker, continues bool) {
	r.begin(now, start{Config: sp.Config(), Checkpoint: true, Continues: continues})
	r.forcing = true
	defer func() { r.forcing = false }()
	sp.Checkpoint(now, func(t speaker.Timed) {
		if r.stopped {
			return
		}
		r.frame = append(r.frame[:0], entryCheckpoint)
		r.frame = binary.AppendVarint(r.frame, int64(t.At.Sub(r.last)))
		r.last = t.At
		var err error
		if r.frame, err = appendEvent(r.frame, t.Event); err != nil {
			r.fail(err)
			return
		}
		if r.put(false, logfile.Append(nil, r.frame)); r.size > r.cfg.Bytes/2 {
			r.fail(fmt.Errorf("the tables alone take more than half of the %d bytes that recording.megabytes allows",
				r.cfg.Bytes))
		}
	})
	chance, err := r.chance.MarshalBinary()
	if err != nil {
		r.fail(err)
		return
	}
	r.last = now
	r.entry(entryLive, live{At: now, Chance: chance, Feeds: r.feeds})
	r.limit = max(r.cfg.Bytes/perBound, 2*r.size)
}

// FeedAdded notes that a consumer of the Loc-RIB came.
func (r *Recorder) FeedAdded(id uint64) { r.feeds = append(r.feeds, id); r.feed(feedAdded, id, 0) }

// FeedTook notes that a consumer asked for up to n services.
func (r *Recorder) FeedTook(id uint64, n int) { r.feed(feedTook, id, n) }

// FeedGone notes that a consumer went.
func (r *Recorder) FeedGone(id uint64) {
	r.feeds = slices.DeleteFunc(r.feeds, func(o uint64) bool { return o == id })
	r.feed(feedGone, id, 0)
}

func (r *Recorder) feed(op byte, id uint64, n int) {
	if r.stopped || r.broken {
		return
	}
	b := binary.AppendUvarint([]byte{entryFeed, op}, id)
	r.put(false, logfile.Append(nil, binary.AppendUvarint(b, uint64(n))))
}

// put hands bytes on to the writer, or leaves them out if too much waits.
func (r *Recorder) put(fresh bool, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting+len(data) > maxPending && !fresh && !r.forcing {
		if !r.broken {
			r.broken = true
			r.cfg.Log.Warn("recording falls behind, events are left out", "waiting", r.waiting)
		}
		return
	}
	r.size += int64(len(data))
	r.waiting += len(data)
	if n := len(r.pending); !fresh && n > 0 {
		r.pending[n-1].data = append(r.pending[n-1].data, data...)
	} else {
		r.pending = append(r.pending, part{fresh, data})
	}
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// fail ends the recording; routing goes on.
func (r *Recorder) fail(err error) {
	if !r.stopped {
		r.stopped = true
		r.cfg.Log.Error("recording has stopped", "dir", r.cfg.Dir, "error", err)
	}
}

// Run writes until ctx ends, and then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	var f *os.File
	defer func() {
		if f != nil {
			_ = f.Close()
		}
	}()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			var err error
			f, err = r.write(f)
			return err
		case <-r.signal:
		}
		var err error
		if f, err = r.write(f); err != nil {
			r.cfg.Log.Error("write the recording: it stops, and routing goes on", "error", err)
			return r.discard(ctx)
		}
		rest.Reset(breath)
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
	}
}

// discard takes what nobody writes.
func (r *Recorder) discard(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.signal:
			r.take()
		}
	}
}

// take takes all that waits. It counts as waiting until it is written.
func (r *Recorder) take() []part {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts := r.pending
	r.pending, r.waiting = nil, 0
	return parts
}

func (r *Recorder) write(f *os.File) (*os.File, error) {
	for _, p := range r.take() {
		if p.fresh || f == nil {
			next, err := r.another(f)
			if err != nil {
				return f, err
			}
			f = next
		}
		n, err := f.Write(p.data)
		if r.bytes += int64(n); err != nil {
			return f, err
		}
	}
	return f, nil
}

// another closes a file, makes room, and opens the next.
func (r *Recorder) another(f *os.File) (*os.File, error) {
	if f != nil {
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	files, err := Files(r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var total int64
	for i, file := range slices.Backward(files) {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if total += info.Size(); total > r.cfg.Bytes-r.cfg.Bytes/perBound {
			for _, old := range files[:i+1] {
				err = errors.Join(err, os.Remove(old))
			}
			if err != nil {
				return nil, err
			}
			break
		}
	}
	r.seq++
	r.bytes = 0
	return datafile.Open(filepath.Join(r.cfg.Dir, fmt.Sprintf("%06d%s", r.seq, suffix)), os.O_CREATE|os.O_EXCL|os.O_WRONLY)
}
