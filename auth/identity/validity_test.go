package identity

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
)

// A certificate warns when a third of its time is left, and is missing when it is over; its CA and other
// organisations' roots likewise.
func TestWhatEndsIsSaidBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		root, err := ca.NewRoot("acme.example", 30*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		bravo, err := ca.NewRoot("bravo.example", 12*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := disk.IssueNode(root, dir, "a", 9*time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := disk.Replace(filepath.Join(dir, disk.BundleFile("bravo.example")), bravo.Roots(), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var log reminder
		began := time.Now()
		for _, step := range []struct {
			after      time.Duration
			want, said string // parts of warnings, of what the log says anew
			missing    bool
		}{
			{0, "", "", false},
			{5 * time.Hour, "", "", false},
			{6 * time.Hour, "this node ends", "this node ends", false},
			{6*time.Hour + time.Minute, "this node ends", "", false},
			{7*time.Hour + 2*time.Minute, "this node ends", "this node ends", false}, // a reminder
			{8*time.Hour + time.Minute, "this node ends|roots of bravo.example", "roots of bravo.example", false},
			{9 * time.Hour, "this node ended|roots of bravo.example", "this node ended", true},
			{29 * time.Hour, "this node ended|CA of acme.example ends|roots of bravo.example that this node has " +
				"ended|roots of acme.example",
				"CA of acme.example", true},
		} {
			time.Sleep(time.Until(began.Add(step.after))) // of the bubble
			warnings, said := strings.Join(s.Warnings(), "\n"), strings.Join(log.due(time.Now(), s.Validities()), "\n")
			if (step.want == "") != (warnings == "") || (step.said == "") != (said == "") || !strings.Contains(said, step.said) {
				t.Errorf("after %s: warns of %q and says %q, want %q and %q", step.after, warnings, said, step.want, step.said)
			}
			for part := range strings.SplitSeq(step.want, "|") {
				if !strings.Contains(warnings, part) {
					t.Errorf("after %s: warns of %q, want %q", step.after, warnings, part)
				}
			}
			if missing := s.Missing(); (missing != "") != step.missing {
				t.Errorf("after %s: missing %q", step.after, missing)
			}
		}
	})
}
