package release

import (
	"testing"
	"time"
)

// Memory is given back once the node is quiet, when there is enough of it, and not again and again.
func TestWhenItIsDue(t *testing.T) {
	const mib = 1 << 20
	start := time.Unix(1_700_000_000, 0)
	at := func(seconds int, resident, allocated uint64) usage {
		return usage{start.Add(time.Duration(seconds) * time.Second), resident * mib, allocated * mib}
	}
	for name, c := range map[string]struct {
		w    watch
		now  usage
		want bool
	}{
		"a flood has gone":  {watch{last: at(95, 400, 1000), least: 40 * mib}, at(100, 400, 1001), true},
		"it is under way":   {watch{last: at(95, 400, 1000), least: 40 * mib}, at(100, 400, 1100), false},
		"as much as before": {watch{last: at(95, 60, 1000), least: 40 * mib}, at(100, 60, 1001), false},
		"given back a moment ago": {
			watch{last: at(95, 400, 1000), least: 40 * mib, freed: at(90, 0, 0).at}, at(100, 400, 1001), false,
		},
		"it began large": {watch{last: at(95, 400, 1000)}, at(100, 400, 1001), true},
	} {
		if got := c.w.due(c.now); got != c.want {
			t.Errorf("%s: due is %v", name, got)
		}
	}
}
