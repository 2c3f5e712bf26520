// Package playback plays the recording of a node up to a step or a time (catalyst replay).
package playback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/catalyst-router/catalyst/bgp/record"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/judge"
)

// Playing is a recording that is being played, up to a limit.
type Playing struct {
	*record.Player
	Name  string
	First time.Time
	Last  time.Time
	Steps int
}

// Open begins to play a recording: a file, or the directory of all; until says where it ends, as --until does.
func Open(name, until string) (*Playing, error) {
	files := []string{name}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		if files, err = record.Files(name); err != nil {
			return nil, err
		}
	}
	player, err := record.Play(judge.Replayed, files...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &Playing{Player: player, Name: name}
	if player.Stop, err = limit(until); err != nil {
		return nil, errors.Join(console.Usage(err), player.Close())
	}
	return p, nil
}

// limit reads --until; nil for no limit.
func limit(until string) (func(n int, at time.Time) bool, error) {
	if until == "" {
		return nil, nil //nolint:nilnil // no limit
	}
	if end, err := time.Parse(time.RFC3339, until); err == nil {
		return func(_ int, at time.Time) bool { return at.After(end) }, nil
	}
	if last, err := strconv.Atoi(until); err == nil && last > 0 {
		return func(n int, _ time.Time) bool { return n > last }, nil
	}
	if d, err := time.ParseDuration(until); err == nil && d >= 0 {
		var first time.Time
		return func(_ int, at time.Time) bool {
			if first.IsZero() {
				first = at
			}
			return at.Sub(first) > d
		}, nil
	}
	return nil, fmt.Errorf("--until %q: want the number of a step, a time such as 2026-11-24T12:00:00Z, or a "+
		"duration such as 90s", until)
}

// NextStep returns the next step within the limit; nil at the end.
func (p *Playing) NextStep() (*record.Step, error) {
	s, err := p.Next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if p.First.IsZero() {
		p.First = s.At
	}
	p.Steps, p.Last = p.Steps+1, s.At
	return s, nil
}
