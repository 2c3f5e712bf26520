package audit

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func opened(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func all(*Entry) bool { return true }

// What was ordered is there after a restart, also after one that cut a line off; nobody else may read it.
func TestEntriesOutliveTheNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := opened(t, path)
	l.Write(Entry{By: "ann", Action: "drain", Outcome: Done, Detail: strings.Repeat("ü", maxText)})
	l.Write(Entry{By: "joe", Action: "setPeer", Target: "Peer b", Outcome: Refused})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"at":"2026-`)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	l = opened(t, path)
	l.Write(Entry{By: "eve", Action: "tap", Outcome: Done})
	l = opened(t, path) // reads the file, with the line that was cut off in between
	var got []string
	for _, e := range l.Newest(10, all) {
		got = append(got, e.By)
		if len(e.Detail) > maxText+len("…") {
			t.Errorf("a detail of %d bytes", len(e.Detail))
		}
	}
	if fmt.Sprint(got) != "[eve joe ann]" {
		t.Errorf("after a restart: %v", got)
	}
	refused := l.Newest(10, func(e *Entry) bool { return e.Outcome == Refused })
	if len(refused) != 1 || refused[0].By != "joe" {
		t.Errorf("refused: %+v", refused)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Somebody who is refused again and again fills no disk, and how often it was is known.
func TestRefusalsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := opened(t, path)
	for range 10_000 {
		l.Write(Entry{By: "eve", Action: "drain", Outcome: Refused})
	}
	l.Write(Entry{By: "ann", Action: "drain", Outcome: Done})
	entries := l.Newest(Kept, all)
	if n := len(entries); n < refusalBurst || n > refusalBurst+50 {
		t.Errorf("%d entries are kept of 10,000 refusals", n)
	}
	left := 0
	for _, e := range entries {
		left += e.LeftOut
	}
	if left+len(entries) != 10_001 {
		t.Errorf("%d entries, and %d told to be left out, of 10,001", len(entries), left)
	}
}

// The file is bounded: what is older than two of them goes.
func TestFilesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := opened(t, path)
	detail := strings.Repeat("x", maxText)
	for range 3 * fileBytes / maxText {
		l.Write(Entry{By: "ann", Action: "setService", Outcome: Done, Detail: detail})
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > fileBytes+2*maxText {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if got := len(l.Newest(10*Kept, all)); got < Kept || got > 2*Kept {
		t.Errorf("%d entries are at hand", got)
	}
}
