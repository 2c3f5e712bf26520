package exec

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// together runs the requests, each begun a moment after the one before, and returns their responses.
func together(t *testing.T, e *Executor, ctxs []context.Context, reqs ...*Request) []string {
	t.Helper()
	out := make([]string, len(reqs))
	var wg sync.WaitGroup
	for i, req := range reqs {
		ctx := t.Context()
		if ctxs != nil && ctxs[i] != nil {
			ctx = ctxs[i]
		}
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			res := e.Execute(ctx, req)
			out[i] = string(res.Body)
			res.Release()
		})
	}
	wg.Wait()
	return out
}

// slow answers after a second.
func slow(r *http.Request, _ string) (*http.Response, error) {
	select {
	case <-time.After(time.Second):
		return reply(200, "application/json", okBody), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func TestIdenticalQueriesAreShared(t *testing.T) {
	header := func(v string) func(string) http.Header {
		return func(string) http.Header { return http.Header{"Accept-Language": {v}} }
	}
	mutate := func() *plan.Plan {
		p := mePlan()
		p.Root.(*plan.Fetch).Kind = plan.Mutation
		return p
	}
	for _, c := range []struct {
		name string
		reqs []*Request
		want int // requests sent
	}{
		{"equal", []*Request{{Plan: mePlan(), Caller: "x", Dedupe: true}, {Plan: mePlan(), Caller: "x", Dedupe: true},
			{Plan: mePlan(), Caller: "x", Dedupe: true}}, 1},
		{"other callers", []*Request{{Plan: mePlan(), Caller: "x", Dedupe: true},
			{Plan: mePlan(), Caller: "y", Dedupe: true}}, 2},
		{"other headers", []*Request{{Plan: mePlan(), Dedupe: true, Header: header("de")},
			{Plan: mePlan(), Dedupe: true, Header: header("en")}}, 2},
		{"equal headers", []*Request{{Plan: mePlan(), Dedupe: true, Header: header("de")},
			{Plan: mePlan(), Dedupe: true, Header: header("de")}}, 1},
		{"switched off", []*Request{{Plan: mePlan(), Dedupe: true}, {Plan: mePlan()}}, 2},
		{"mutations", []*Request{{Plan: mutate(), Dedupe: true}, {Plan: mutate(), Dedupe: true}}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := handled(slow)
			for i, got := range together(t, s.executor(t, nil), nil, c.reqs...) {
				if got != okBody {
					t.Errorf("%s: response %d is %s", c.name, i, got)
				}
			}
			if len(s.asked) != c.want {
				t.Errorf("%s: sent %d requests, want %d", c.name, len(s.asked), c.want)
			}
		})
	}
}

// When the one whose request is shared goes away, the others must not suffer.
func TestSharersSurviveTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := handled(slow)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		req := func() *Request { return &Request{Plan: mePlan(), Dedupe: true} }
		got := together(t, s.executor(t, nil), []context.Context{ctx, nil, nil}, req(), req(), req())
		if code(got[0]) != CodeTimeout || got[1] != okBody || got[2] != okBody {
			t.Errorf("got %s", strings.Join(got, "\n"))
		}
		if len(s.asked) != 2 {
			t.Errorf("sent %d requests, want 2", len(s.asked))
		}
	})
}

func TestSharerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := handled(slow)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		req := func() *Request { return &Request{Plan: mePlan(), Dedupe: true} }
		start := time.Now()
		got := together(t, s.executor(t, nil), []context.Context{nil, ctx, nil}, req(), req(), req())
		if got[0] != okBody || code(got[1]) != CodeTimeout || got[2] != okBody {
			t.Errorf("got %s", strings.Join(got, "\n"))
		}
		if time.Since(start) != time.Second || len(s.asked) != 1 {
			t.Errorf("%d requests in %v", len(s.asked), time.Since(start))
		}
	})
}

// A failure is shared as well.
func TestFailuresAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := handled(func(*http.Request, string) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(500, "text/plain", "no"), nil
		})
		req := func() *Request { return &Request{Plan: mePlan(), Dedupe: true} }
		got := together(t, s.executor(t, nil), nil, req(), req())
		if code(got[0]) != CodeHTTP || got[0] != got[1] || len(s.asked) != 1 {
			t.Errorf("%d requests: %s", len(s.asked), strings.Join(got, "\n"))
		}
	})
}
