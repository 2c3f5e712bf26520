package gateway

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/graphql/exec"
)

// A subgraph that fails a thousand times a second is in the log every ten seconds, with why, and with how many more
// there were.
func TestFailuresAreLoggedOnceInAWhile(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	var c complaints
	now := time.Unix(0, 0)
	for range 25_000 {
		c.tell(log, now, exec.Fetch{Service: "books"},
			exec.FetchResult{Code: exec.CodeUnreachable, Err: errors.New("connection refused")})
		now = now.Add(time.Millisecond)
	}
	c.tell(log, now, exec.Fetch{Service: "books"}, exec.FetchResult{Code: exec.CodeTimeout, Err: errors.New("late")})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], "connection refused") ||
		!strings.Contains(lines[1], "more_since=9999") || !strings.Contains(lines[3], "late") {
		t.Errorf("got\n%s", out.String())
	}
}
