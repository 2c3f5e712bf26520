//go:build e2e

package planning

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/graphql/process"
	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var (
	worlds = flag.Int("worlds", 40, "sets of subgraphs to make up")
	each   = flag.Int("operations", 15, "operations on each set")
	seed   = flag.Uint64("seed", 1, "seed of the first set; the others follow")
)

// behind are the operations, by seed, known to take a request more than Apollo's plan: a shareable root field is
// asked a second time, where a request for entities that is made anyway could take in its fields.
var behind = map[uint64]int{2: 1}

// question and answer are the lines of oracle.js.
type question struct {
	World     string `json:"world,omitempty"`
	Subgraphs []wire `json:"subgraphs,omitempty"`
	// Supergraph of ours, if theirs does not compose.
	Supergraph string `json:"supergraph,omitempty"`

	Query     string         `json:"query,omitempty"`
	Variables map[string]any `json:"variables,omitempty"`
	Follow    bool           `json:"follow,omitempty"`
}

type wire struct {
	Name string `json:"name"`
	SDL  string `json:"sdl"`
	// Library that serves it; none means the oracle itself.
	Library string `json:"library,omitempty"`
}

type answer struct {
	Crash string

	Supergraph string
	URLs       map[string]string

	Invalid         []string
	Data            json.RawMessage
	Errors          []json.RawMessage
	Fetches, Rounds int
	Plan, Planner   string
	Complaint       string
	Requests        []string
}

// oracle asks for worlds, plans and data.
type oracle struct{ *process.Oracle }

func start(t *testing.T) oracle {
	t.Helper()
	return oracle{process.StartOracle(t, 0)}
}

func (o oracle) ask(t *testing.T, q question) answer {
	t.Helper()
	var a answer
	o.Ask(t, q, &a)
	if a.Crash != "" {
		t.Fatalf("the oracle crashed: %s", a.Crash)
	}
	return a
}

// figures are sums over a run.
type figures struct {
	worlds, rejected, operations, failing int
	stricter                              int       // worlds that their composer rejects and ours serves
	ours, theirs                          plan.Plan // Fetches and Rounds only
	better, worse, traded, wrong          int
	sent                                  int
}

// TestGenerated makes up subgraphs and operations.
func TestGenerated(t *testing.T) {
	o := start(t)
	var sum figures
	for n := range *worlds {
		s := *seed + uint64(n)
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) { world(t, o, s, &sum) })
	}
	t.Logf("%d worlds, %d rejected by both composers, %d by theirs only; %d operations, %d of them with errors",
		sum.worlds, sum.rejected, sum.stricter, sum.operations, sum.failing)
	t.Logf("planned requests: ours %d, theirs %d; rounds: ours %d, theirs %d; requests sent: %d; plans with fewer "+
		"requests or rounds: %d, with fewer rounds by more requests: %d, worse: %d; wrong plans of theirs: %d",
		sum.ours.Fetches, sum.theirs.Fetches, sum.ours.Rounds, sum.theirs.Rounds, sum.sent, sum.better, sum.traded,
		sum.worse, sum.wrong)
	if sum.rejected > sum.worlds/2 {
		t.Errorf("%d of %d worlds do not compose: the generator is not worth much", sum.rejected, sum.worlds)
	}
}

func world(t *testing.T, o oracle, seed uint64, sum *figures) {
	subgraphs := generate(seed)
	g, planner := serve(t, o, fmt.Sprint(seed), subgraphs, seed%2 == 0, sum)
	if g == nil {
		return
	}
	r := rand.New(rand.NewPCG(seed, 6))
	c := &check{t: t, g: g, planner: planner, oracle: o, sum: sum}
	c.chance(r, *each, behind[seed], subgraphs)
}

// serve composes a world and serves it, from our supergraph or from Apollo's. It returns nil if both composers reject
// it.
func serve(t *testing.T, o oracle, name string, subgraphs []supergraph.Subgraph, theirSupergraph bool,
	sum *figures) (http.Handler, *plan.Planner) {
	t.Helper()
	q := question{World: name}
	for _, s := range subgraphs {
		q.Subgraphs = append(q.Subgraphs, wire{Name: s.Name, SDL: s.SDL})
	}
	theirs := o.ask(t, q)
	for i := range subgraphs {
		subgraphs[i].URL = theirs.URLs[subgraphs[i].Name]
	}
	ours := supergraph.Compose(subgraphs, supergraph.Options{})
	sum.worlds++
	switch rejected := theirs.Supergraph == ""; {
	case rejected && len(ours.Errors) > 0:
		sum.rejected++
		t.Logf("rejected: %s\n%s", theirs.Errors, show(subgraphs))
		return nil, nil
	case rejected && stricter(theirs.Errors):
		sum.stricter++
		q.Supergraph = ours.SDL
		theirs = o.ask(t, q)
	case rejected:
		t.Fatalf("we accept, they reject: %s\n%s", theirs.Errors, show(subgraphs))
	case len(ours.Errors) > 0:
		t.Fatalf("we reject, they accept: %v\n%s", ours.Errors, show(subgraphs))
	}
	sdl := ours.SDL
	if theirSupergraph {
		sdl = theirs.Supergraph
	}
	snap, err := gateway.NewSnapshot(sdl, gateway.SnapshotOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, sdl)
	}
	g := gateway.New(gateway.Config{})
	g.Swap(snap)
	t.Cleanup(g.Close)
	return g, snap.Planner()
}

// chance checks operations made up by chance. behind is one known to take a request too many; 0 is none.
func (c *check) chance(r *rand.Rand, n, behind int, subgraphs []supergraph.Subgraph) {
	failed := 0
	for i := range n {
		query, variables := operation(r, c.planner.Graph().Schema)
		if _, errs := c.planner.Prepare(query, ""); errs != nil {
			if !bytes.Contains([]byte(errs.Error()), []byte("conflict")) {
				c.t.Logf("not valid: %v: %s", errs, query)
			}
			continue
		}
		c.said, c.behind = nil, behind == i && i > 0
		if !c.operation(query, variables) {
			c.t.Errorf("operation %d: %s\nvariables %s\n%s", i, query, text(variables), strings.Join(c.said, "\n"))
			if failed++; failed == 1 {
				c.t.Log(show(subgraphs))
			}
		}
	}
}

// stricter reports whether they reject only for requirements that they cannot satisfy. Their composer does not go
// back to the subgraph that requires, although another key than the one it began with leads there. Our plans and
// answers show whether it can be done.
func stricter(errors []json.RawMessage) bool {
	return !slices.ContainsFunc(errors, func(e json.RawMessage) bool {
		return !bytes.Contains(e,
			[]byte("cannot satisfy @require"))
	})
}

// check is one operation.
type check struct {
	t       *testing.T
	g       http.Handler
	planner *plan.Planner
	oracle  oracle
	sum     *figures
	behind  bool // a request more than theirs is known
	said    []string
}

func (c *check) say(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

// operation reports whether an operation has the monolith's answer, by a plan no worse than theirs.
func (c *check) operation(query string, variables map[string]any) bool {
	got := c.serve(query, variables)
	want := c.oracle.ask(c.t, question{Query: query, Variables: variables})
	if want.Invalid != nil {
		c.say("they find the operation invalid: %s", want.Invalid)
		return false
	}
	p := c.plan(query, variables)
	c.sum.operations++
	if len(want.Errors) > 0 {
		c.sum.failing++
	}
	if !bytes.Equal(got.Data, want.Data) {
		c.say("got  %s\nwant %s", got.Data, want.Data)
	}
	if (len(got.Errors) > 0) != (len(want.Errors) > 0) {
		c.say("got errors %s\nwant %s", got.Errors, want.Errors)
	}
	// One after the other is what the specification says of a mutation's fields, with all below them. Apollo's planner
	// asks for neighbours at once.
	if p.Kind == plan.Query && len(c.said) == 0 {
		c.compare(query, variables, p, want)
	}
	if len(c.said) > 0 {
		c.say("our %stheir %s\nrequests\n%s", p, want.Plan, strings.Join(want.Requests, "\n"))
	}
	return len(c.said) == 0
}

func (c *check) compare(query string, variables map[string]any, p *plan.Plan, want answer) {
	if want.Planner != "" {
		c.t.Logf("their planner fails: %s", want.Planner)
		return
	}
	c.sum.ours.Fetches += p.Fetches
	c.sum.ours.Rounds += p.Rounds
	c.sum.theirs.Fetches += want.Fetches
	c.sum.theirs.Rounds += want.Rounds
	c.sum.sent += len(want.Requests)
	if want.Fetches == 0 && p.Fetches > 0 {
		return // their planner forgets objects of which nothing is selected
	}
	// A round counts more than a request: our planner may ask for more at once than theirs asks one after the other.
	switch {
	case p.Rounds > want.Rounds || p.Rounds == want.Rounds && p.Fetches > want.Fetches:
		if said := c.oracle.ask(c.t, question{Query: query, Variables: variables, Follow: true}).Complaint; said != "" {
			c.sum.wrong++
			c.t.Logf("their plan is wrong: %s", said)
			return
		}
		c.sum.worse++
		if c.behind && p.Rounds == want.Rounds && p.Fetches == want.Fetches+1 {
			return
		}
		c.say("ours: %d requests in %d rounds; theirs: %d in %d", p.Fetches, p.Rounds, want.Fetches, want.Rounds)
	case p.Fetches > want.Fetches:
		c.sum.traded++
	case p.Fetches < want.Fetches || p.Rounds < want.Rounds:
		c.sum.better++
	}
	if len(want.Requests) > p.Fetches {
		c.say("%d requests were sent, %d planned", len(want.Requests), p.Fetches)
	}
}

func (c *check) serve(query string, variables map[string]any) (got answer) {
	c.t.Helper()
	body, err := json.Marshal(question{Query: query, Variables: variables})
	if err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	c.g.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		c.t.Fatalf("the gateway's answer: %v: %s", err, w.Body)
	}
	return got
}

func (c *check) plan(query string, variables map[string]any) *plan.Plan {
	c.t.Helper()
	op, errs := c.planner.Prepare(query, "")
	if errs != nil {
		c.t.Fatal(errs)
	}
	raw := map[string]json.RawMessage{}
	for name, v := range variables {
		raw[name] = json.RawMessage(text(v))
	}
	coerced, errs := plan.CoerceVariables(op, raw)
	if errs != nil {
		c.t.Fatal(errs)
	}
	p, err := c.planner.Plan(op, plan.Facts{Conditions: op.ConditionValues(coerced)})
	if err != nil {
		c.say("%v", err)
		return &plan.Plan{}
	}
	return p
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func show(subgraphs []supergraph.Subgraph) string {
	var b strings.Builder
	for _, s := range subgraphs {
		fmt.Fprintf(&b, "# %s\n%s\n", s.Name, s.SDL)
	}
	return b.String()
}
