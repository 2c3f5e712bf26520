package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Source is one of catalyst discover status.
type Source struct {
	Source, Away string
	Services     int
	Problems     []struct{ In, Why string }
	Conflicts    []struct{ Service, Why string }
}

// Empty tells, as an error, what a source has that is there or found wrong.
func (s Source) Empty() error {
	if s.Services != 0 || len(s.Problems)+len(s.Conflicts) != 0 || s.Away != "" {
		return fmt.Errorf("something is left")
	}
	return nil
}

// Sources are those of catalyst discover status.
func (n *Node) Sources(ctx context.Context) (all []Source, err error) {
	return all, n.JSON(ctx, &all, "discover", "status")
}

// Offers waits until a node offers what is wanted: NAME ADDRESS… (FOUND BY; FOUND IN), by name.
func (n *Node) Offers(ctx context.Context, want ...string) error {
	return Eventually(ctx, "what is offered", func(ctx context.Context) error {
		var all []struct {
			Service, FoundBy, FoundIn string
			Addresses                 []string
		}
		if err := n.JSON(ctx, &all, "route", "list", "--local"); err != nil {
			return err
		}
		var got []string
		for _, s := range all {
			got = append(got, fmt.Sprintf("%s %s (%s; %s)", s.Service, strings.Join(s.Addresses, " "), s.FoundBy, s.FoundIn))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			return fmt.Errorf("got  %q\nwant %q", got, want)
		}
		return nil
	})
}

// Changes is how often the node has offered something that it found, or withdrawn it, over its restarts.
func (n *Node) Changes() (int, error) {
	log, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
	return strings.Count(string(log), "is offered as it was found") + strings.Count(string(log), "is found no longer"), err
}

// Life is the time in which a workload may be sent calls; no end if it still may.
type Life struct{ From, To time.Time }

// Churn is what became of workloads that come and go, and of the calls to them. It is safe for concurrent use.
type Churn struct {
	mu            sync.Mutex
	lives         map[string][]Life // by IP:PORT; guarded by mu
	calls, failed int               // guarded by mu
}

// Began notes that a workload may be sent calls at an IP:PORT from a time on.
func (c *Churn) Began(at string, from time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lives == nil {
		c.lives = map[string][]Life{}
	}
	c.lives[at] = append(c.lives[at], Life{From: from})
}

// Ended notes that the last one that began there may be sent none from now on.
func (c *Churn) Ended(at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.lives[at]
	all[len(all)-1].To = time.Now()
}

// Lives is how many workloads there were.
func (c *Churn) Lives() (sum int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lives {
		sum += len(l)
	}
	return sum
}

// Call calls a service at a node without a pause until ctx ends.
func (c *Churn) Call(ctx context.Context, n *Node, service, path string) {
	for ctx.Err() == nil {
		code, _, err := n.Get(ctx, service, path)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		if c.calls++; err != nil || code != 200 {
			c.failed++
		}
		c.mu.Unlock()
	}
}

// Calls are how many were made, and how many of them failed.
func (c *Churn) Calls() (made, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls, c.failed
}

// Astray looks in Envoy's access log for calls that were sent where no workload was, or where one had ended more than
// late before. It returns them, and an error if the log has less than half of the calls.
func (c *Churn) Astray(n *Node, late time.Duration) (all []string, err error) {
	f, err := os.Open(filepath.Join(n.Dir, "access.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var x struct{ Time, Upstream string }
		if json.Unmarshal(lines.Bytes(), &x) != nil || c.lives[x.Upstream] == nil {
			continue
		}
		seen++
		at, err := time.Parse(time.RFC3339Nano, x.Time)
		if err != nil {
			return nil, err
		}
		ok := false
		for _, l := range c.lives[x.Upstream] {
			ok = ok || at.After(l.From) && (l.To.IsZero() || at.Before(l.To.Add(late)))
		}
		if !ok {
			all = append(all, fmt.Sprintf("a call of %s was sent to %s, where nothing had run for more than %s",
				x.Time, x.Upstream, late))
		}
	}
	if seen < c.calls/2 {
		return all, fmt.Errorf("the access log has %d of %d calls", seen, c.calls)
	}
	return all, nil
}
