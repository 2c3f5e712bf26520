package tap

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Filter chooses calls; the zero value takes all. What it names has to hold all together.
type Filter struct {
	Service string        // a name, or a pattern such as *.acme.example; in lower case
	From    string        // organisation, or ORGANISATION/NODE, of the caller
	Code    string        // a status such as 503, or a class such as 5xx
	Outcome Outcome       // "" for any
	Slower  time.Duration // than this; zero for any
	Since   time.Time     // zero for any
	ID      string        // "" for any
}

// Check refuses a filter that cannot choose anything.
func (f *Filter) Check() error {
	if f.Service != "" {
		if err := filter.CheckPattern(f.Service); err != nil {
			return fmt.Errorf("service: %q %w", f.Service, err)
		}
	}
	if f.From != "" {
		org, node, _ := strings.Cut(f.From, "/")
		if _, err := bgp.ParseOrg(org); err != nil {
			return fmt.Errorf("from: %w", err)
		}
		if strings.Contains(f.From, "/") && node == "" {
			return fmt.Errorf("from: %q: want an organisation or ORGANISATION/NODE", f.From)
		}
	}
	if f.Code != "" {
		n, err := strconv.Atoi(strings.Replace(f.Code, "xx", "00", 1))
		if err != nil || len(f.Code) != 3 || n < 100 || n > 599 {
			return fmt.Errorf("code: %q: want a status such as 503, or a class such as 5xx", f.Code)
		}
	}
	switch f.Outcome {
	case "", OK, Denied, Failed:
	default:
		return fmt.Errorf("outcome: %q: want ok, denied or failed", f.Outcome)
	}
	if f.Slower < 0 {
		return fmt.Errorf("slower: %s: want at least 0", f.Slower)
	}
	return nil
}

// Takes tells whether a call is chosen.
func (f *Filter) Takes(c *Call) bool {
	switch {
	case f.Service != "" && !filter.Covers(f.Service, c.Service):
	case f.From != "" && !f.from(c):
	case f.Code != "" && !f.code(c.Status):
	case f.Outcome != "" && c.Outcome != f.Outcome:
	case f.Slower > 0 && c.Took <= f.Slower:
	case c.At.Before(f.Since):
	case f.ID != "" && c.ID != f.ID:
	default:
		return true
	}
	return false
}

func (f *Filter) from(c *Call) bool {
	org, node, withNode := strings.Cut(f.From, "/")
	sender := c.callerNode()
	if withNode {
		return string(sender.Org) == org && sender.Name == node || len(c.Crossed) > 0 &&
			string(c.Crossed[0].Org) == org && c.Crossed[0].Name == node
	}
	return string(c.Org) == org || string(sender.Org) == org
}

func (f *Filter) code(status int) bool {
	if class, ok := strings.CutSuffix(f.Code, "xx"); ok {
		return strconv.Itoa(status/100) == class
	}
	return strconv.Itoa(status) == f.Code
}
