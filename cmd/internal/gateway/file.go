package gateway

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// fileEvery is how often the supergraph's file is looked at.
const fileEvery = time.Second

// largestFile bounds what is read as a supergraph.
const largestFile = 64 << 20

// file serves a supergraph from a file.
type file struct {
	gateway *Gateway
	path    string
	last    []byte
	info    os.FileInfo
}

// load publishes what the file holds, if it holds something new.
func (s *file) load(why string) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("gateway.supergraph: %w", err)
	}
	if s.info != nil && info.ModTime().Equal(s.info.ModTime()) && info.Size() == s.info.Size() &&
		os.SameFile(info, s.info) {
		return nil
	}
	if info.Size() > largestFile {
		return fmt.Errorf("gateway.supergraph: %s is larger than %d MiB", s.path, largestFile>>20)
	}
	sdl, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("gateway.supergraph: %w", err)
	}
	s.info = info
	if bytes.Equal(sdl, s.last) {
		return nil
	}
	snap, err := s.gateway.Snapshot(string(sdl), why, nil)
	if err != nil {
		return fmt.Errorf("gateway.supergraph: %s: %w", s.path, err)
	}
	s.last = sdl
	s.gateway.gw.Swap(snap)
	return nil
}

// run looks at the file until ctx ends. A file that cannot be used leaves the graph as it is.
func (s *file) run(ctx context.Context) error {
	tick := time.NewTicker(fileEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.load("the file changed")
		if err == nil {
			told = ""
		} else if err.Error() != told { // said once, not once a second
			told = err.Error()
			s.gateway.gw.RefusedGraph("the file changed", err)
		}
	}
}
