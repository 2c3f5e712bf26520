package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Step is one event of a recording and what the speaker does with it again.
type Step struct {
	N       int // from 1, in the whole recording
	At      time.Time
	Event   speaker.Event
	Effects []speaker.Effect // valid until the next step
	// Recorded and Replayed are the digests of what the speaker did then, and did now.
	Recorded, Replayed uint64
	streams            names
}

// Same tells whether the speaker did what it did then.
func (s *Step) Same() bool { return s.Recorded == s.Replayed }

// EventText is the event in one line.
func (s *Step) EventText() string { return eventText(s.Event, s.streams) }

// EffectTexts are the effects, a line each.
func (s *Step) EffectTexts() []string {
	lines := make([]string, 0, len(s.Effects))
	for _, eff := range s.Effects {
		lines = append(lines, effectText(eff, s.streams))
	}
	return lines
}

// Player replays a recording step by step.
type Player struct {
	files   []string
	file    io.Closer
	r       *logfile.Reader
	sp      *speaker.Speaker
	chance  *rand.PCG
	cfg     speaker.Config
	now     time.Time
	cursors map[uint64]*rib.Cursor
	streams names
	digest  digest
	n       int
	first   start
	// skipping: the file continues the one before, so that its checkpoint is not needed.
	skipping bool
	// rebuilt tells that the tables come from a checkpoint.
	rebuilt bool
	cutOff  bool
	guards  func(speaker.Guarded) speaker.Guards
	// Stop tells that a step, by its number and time, is not to be taken, nor any after it; nil for none.
	Stop func(n int, at time.Time) bool
}

// Play begins to replay files, in their order. Guards is that of the speaker's configuration, which no file holds; nil
// lets all routes pass.
func Play(guards func(speaker.Guarded) speaker.Guards, files ...string) (*Player, error) {
	if len(files) == 0 {
		return nil, errors.New("there is nothing recorded there")
	}
	p := &Player{files: files, guards: guards}
	return p, p.open()
}

// playFrom replays one file from a reader, for tests.
func playFrom(r io.Reader) (*Player, error) {
	rd, err := openFile(r)
	if err != nil {
		return nil, err
	}
	p := &Player{r: rd}
	return p, p.begin()
}

// Close closes the file that is being read.
func (p *Player) Close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}

// Speaker is the speaker as it is after the last step.
func (p *Player) Speaker() *speaker.Speaker { return p.sp }

// Rebuilt tells that the recording begins with a checkpoint, so that messages may come in another order than they did.
func (p *Player) Rebuilt() bool { return p.rebuilt }

// CutOff tells that the recording ends within an entry.
func (p *Player) CutOff() bool { return p.cutOff }

// open opens the next file.
func (p *Player) open() error {
	name := p.files[0]
	p.files = p.files[1:]
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open the recording: %w", err)
	}
	p.file = f
	if p.r, err = openFile(f); err == nil {
		err = p.begin()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return nil
}

// begin reads what the speaker is made of.
func (p *Player) begin() error {
	body, err := p.r.Next()
	if err != nil {
		return err
	}
	if body[0] != entryStart {
		return fmt.Errorf("begins with %q", body[0])
	}
	var s start
	if err := readJSON(body, &s); err != nil {
		return err
	}
	if s.Config.Self.IsZero() {
		return errors.New("names no node")
	}
	if p.skipping = p.sp != nil && s.Checkpoint && s.Continues; p.skipping {
		return nil
	}
	p.chance = new(rand.PCG)
	if err := p.chance.UnmarshalBinary(s.Chance); err != nil {
		return fmt.Errorf("generator: %w", err)
	}
	s.Config.Guards = p.guards
	p.first, p.cfg, p.now, p.rebuilt = s, s.Config, s.At, s.Checkpoint
	p.sp = speaker.New(s.Config, rand.New(p.chance)) //nolint:gosec // it has to be the same chance again
	p.sp.Start(s.At)
	p.cursors, p.streams = map[uint64]*rib.Cursor{}, names{}
	return nil
}

// Next replays up to the next event; io.EOF at the end.
func (p *Player) Next() (*Step, error) {
	for {
		body, err := p.r.Next()
		if errors.Is(err, logfile.ErrCutOff) {
			p.cutOff, err = true, io.EOF
		}
		if errors.Is(err, io.EOF) && len(p.files) > 0 {
			if err := errors.Join(p.Close(), p.open()); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		step, err := p.take(body)
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("after step %d: %w", p.n, err)
		}
		if step != nil {
			return step, nil
		}
	}
}

// take replays one entry, and returns a step for an event.
func (p *Player) take(body []byte) (*Step, error) {
	switch body[0] {
	case entryCheckpoint:
		if p.skipping {
			return nil, nil
		}
		return nil, p.rebuild(body[1:])
	case entryLive:
		return nil, p.live(body)
	case entryFeed:
		return nil, p.feed(body[1:])
	case entryEvent:
		return p.event(body)
	}
	return nil, fmt.Errorf("entry of unknown kind %q", body[0])
}

// rebuild applies an event of a checkpoint, with each UPDATE's credit given back at once.
func (p *Player) rebuild(b []byte) error {
	dt, rest, err := timed(b)
	if err != nil {
		return err
	}
	ev, err := decodeEvent(rest)
	if err != nil {
		return err
	}
	p.now = p.now.Add(dt)
	p.know(ev)
	queue := []speaker.Event{ev}
	for len(queue) > 0 {
		ev, queue = queue[0], queue[1:]
		for _, eff := range p.sp.Step(p.now, ev) {
			if s, ok := eff.(speaker.Send); ok && bgp.Bulk(s.Msg) {
				queue = append(queue, speaker.Writable{Conn: s.Conn})
			}
		}
	}
	return nil
}

// live ends a checkpoint: what is left over of bulk work is done, and chance is as it was.
func (p *Player) live(body []byte) error {
	var l live
	if err := readJSON(body, &l); err != nil {
		return err
	}
	p.now = l.At
	if p.skipping {
		return nil
	}
	for p.sp.Table().Working() {
		p.sp.Table().Work(1 << 20)
	}
	for _, id := range l.Feeds {
		c := p.sp.Table().Subscribe()
		for len(c.Next(nil, 1000)) > 0 {
		}
		p.cursors[id] = c
	}
	return p.chance.UnmarshalBinary(l.Chance)
}

// feed does what a consumer of the Loc-RIB did.
func (p *Player) feed(b []byte) error {
	op, id, n, err := feedOp(b)
	if err != nil {
		return err
	}
	c := p.cursors[id]
	switch {
	case op == feedAdded && len(p.cursors) < 1000:
		p.cursors[id] = p.sp.Table().Subscribe()
	case op == feedTook && c != nil:
		c.Next(nil, n)
	case op == feedGone && c != nil:
		p.sp.Table().Unsubscribe(c)
		delete(p.cursors, id)
	}
	return nil
}

// know keeps which peer is behind which stream.
func (p *Player) know(ev speaker.Event) {
	if up, ok := ev.(speaker.ConnUp); ok {
		p.streams[up.Conn] = up.Remote
	}
}

func (p *Player) event(body []byte) (*Step, error) {
	if len(body) < 9 {
		return nil, errShort
	}
	dt, rest, err := timed(body[9:])
	if err != nil {
		return nil, err
	}
	ev, err := decodeEvent(rest)
	if err != nil {
		return nil, err
	}
	if p.Stop != nil && p.Stop(p.n+1, p.now.Add(dt)) {
		return nil, io.EOF
	}
	p.now = p.now.Add(dt)
	p.n++
	p.know(ev)
	s := &Step{N: p.n, At: p.now, Event: ev, Recorded: binary.LittleEndian.Uint64(body[1:]), streams: p.streams}
	s.Effects = p.sp.Step(p.now, ev)
	s.Replayed = p.digest.of(s.Effects)
	return s, nil
}
