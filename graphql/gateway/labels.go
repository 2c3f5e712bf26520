package gateway

import (
	"encoding/json"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// labels are the labels of progressive overrides (@override(label:)) that are on for a request. `percent(25)` is on
// for a quarter of the requests, any other label is off, and what the configuration says of a label goes before.
// Equal requests of one caller, at whatever node, are alike, and who is in 5 percent is in 10 percent, too.
func (g *Gateway) labels(known []string, op *plan.Operation, vars map[string]json.RawMessage,
	caller string) map[string]bool {
	if len(known) == 0 {
		return nil
	}
	on := make(map[string]bool, len(known))
	share := -1.0
	for _, label := range known {
		if forced, ok := g.cfg.Labels[label]; ok {
			on[label] = forced
			continue
		}
		percent, ok := percentage(label)
		if !ok {
			continue
		}
		if share < 0 {
			share = shareOf(op, vars, caller)
		}
		on[label] = share < percent
	}
	return on
}

// percentage reads percent(12.5).
func percentage(label string) (float64, bool) {
	text, ok := strings.CutPrefix(label, "percent(")
	if !ok {
		return 0, false
	}
	text, ok = strings.CutSuffix(text, ")")
	n, err := strconv.ParseFloat(text, 64)
	return n, ok && err == nil
}

// shareOf places a request between 0 and 100, evenly over all requests.
func shareOf(op *plan.Operation, vars map[string]json.RawMessage, caller string) float64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, op.Hash+"\x00"+caller)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		_, _ = io.WriteString(h, "\x00"+name+"\x00")
		_, _ = h.Write(vars[name])
	}
	x := h.Sum64() // FNV does not stir its upper bits; this is the finaliser of MurmurHash3
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return float64((x^x>>33)>>11) / (1 << 53) * 100
}
