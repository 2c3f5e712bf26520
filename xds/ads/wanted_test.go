package ads

import (
	"log/slog"
	"testing"
)

// A node without an Envoy holds no view, until one comes.
func TestWantedFromTheFirstEnvoyOn(t *testing.T) {
	s := NewServer(Config{Log: slog.New(slog.DiscardHandler)})
	select {
	case <-s.Wanted():
		t.Fatal("wanted before any Envoy came")
	default:
	}
	for range 2 { // the second changes nothing
		st, err := newStream(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if s.places.join(st) != nil {
			t.Fatal("not let in")
		}
		s.leave(st)
		select {
		case <-s.Wanted():
		default:
			t.Fatal("not wanted although an Envoy came")
		}
	}
}
