package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ordering is a backend that carries everything out, and writes down what it is told of.
type ordering struct {
	Backend
	fails error
	told  []string
}

func (o *ordering) Ordered(_ context.Context, r Order) {
	o.told = append(o.told, fmt.Sprintf("%s %s|%s refused=%t %v", r.Operation, r.Target(), r.Arguments(), r.Refused,
		r.Err))
}

func (o *ordering) Drain(context.Context, bool) (bool, error)                 { return true, o.fails }
func (o *ordering) Peers(context.Context) ([]Peer, error)                     { return []Peer{}, nil }
func (o *ordering) TrustOrigin(context.Context, string, string) (bool, error) { return true, nil }
func (o *ordering) Calls(context.Context, CallFilter, int) ([]Call, error) {
	return []Call{}, nil
}

func (o *ordering) AcceptPeering(context.Context, AcceptInput) (*Peering, error) {
	return nil, errors.New("it is over")
}

func (o *ordering) RemovePeer(context.Context, string, string) (bool, error) { return true, nil }

type permits bool

func (p permits) Authorize(context.Context, Request) error {
	if p {
		return nil
	}
	return errors.New("not permitted")
}

// What changes something, looks at calls or is refused is told of, with what it was done to, and without what may be
// secret; what reads is not.
func TestOrdersAreTold(t *testing.T) {
	for query, want := range map[string]struct {
		permitted bool
		fails     error
		told      string // "" for nothing
	}{
		`mutation { drain(on: true) }`:                      {true, nil, `drain |on=true refused=false <nil>`},
		`mutation { drain(on: false) }`:                     {true, errors.New("stopping"), `drain |on=false refused=false stopping`},
		`{ peers { node } }`:                                {true, nil, ""},
		`{ peers {  node } }`:                               {false, nil, `peers | refused=true not permitted`},
		`mutation { removePeer(node: "b", text: "moved") }`: {true, nil, `removePeer Peer b|text="moved" refused=false <nil>`},
		`{ calls(filter: {service: "books", from: "bravo.example"}) { at } }`: {true, nil,
			`calls |first=100 service="books" from="bravo.example" refused=false <nil>`},
		`mutation { trustOrigin(organisation: "bravo.example", keys: "SECRET") }`: {true, nil,
			`trustOrigin |organisation="bravo.example" refused=false <nil>`},
		`mutation { acceptPeering(input: {invitation: "SECRET", terms: {}}) { since } }`: {true, nil,
			`acceptPeering | refused=false it is over`},
	} {
		o := &ordering{fails: want.fails}
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(fmt.Sprintf(`{"query":%q}`, query)))
		req.Header.Set("Content-Type", "application/json")
		Handler(o, permits(want.permitted), LargestOwn).ServeHTTP(w, req)
		if got := strings.Join(o.told, "\n"); got != want.told {
			t.Errorf("%s:\ntold %q\nwant %q\nthe answer is %s", query, got, want.told, w.Body)
		}
	}
}
