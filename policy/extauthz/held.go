package extauthz

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/catalyst-router/catalyst/policy"
)

// Held is what a request was let through by. Envoy keeps it among the dynamic metadata of the request, and hands it
// back when the request turns out to last, so that the node remembers none of all the short ones. Nobody but the
// answer to a check writes there.
type Held struct {
	ID    string      `json:"id"`   // of the decision
	Call  policy.Call `json:"call"` // without its bearer, whom the token names
	Token string      `json:"token,omitempty"`
}

// MetadataNamespace is where Envoy keeps it.
const MetadataNamespace = "envoy.filters.http.ext_authz"

const heldKey = "hold"

func heldOf(v verdict) Held {
	h := Held{ID: v.record.ID, Call: v.record.Call, Token: v.token}
	h.Call.Bearer = nil
	return h
}

func (h Held) text() string {
	b, err := json.Marshal(h)
	if err != nil {
		return "" // strings and numbers always have a text
	}
	return string(b)
}

// HeldIn reads what Envoy hands back; false if the request was not let through by a check.
func HeldIn(m *core.Metadata) (h Held, ok bool, err error) {
	text := m.GetFilterMetadata()[MetadataNamespace].GetFields()[heldKey].GetStringValue()
	if text == "" {
		return h, false, nil
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return h, true, fmt.Errorf("what Envoy kept of a request cannot be read: %w", err)
	}
	return h, true, nil
}

// Standing is how it stands with a request that was let through.
type Standing struct {
	Good bool // it may go on
	// Token tells that its token is not good any more; otherwise the policies do not permit it any more.
	Token bool
	// Until is when to look again without being told: the token expires, the policies look at the clock; zero for never.
	Until time.Time
	// Record is of the decision that ends it; zero while it is good.
	Record policy.Record
}

// lookAgain is how often those are decided anew whose answer depends on the clock.
const lookAgain = 15 * time.Second

// Again decides anew on a request that was let through, as of now. What cannot be decided at the moment ends nothing.
// A decision that ends it is recorded, with an id of its own.
func (s *Server) Again(ctx context.Context, h Held) Standing {
	now := s.cfg.Now()
	record := policy.Record{ID: policy.NewID(), At: now, Call: h.Call, Ends: h.ID}
	call := &record.Call
	call.Time = now
	if s.cfg.Age != nil {
		call.PolicyAge = int(s.cfg.Age() / time.Second)
	}
	st := Standing{Good: true}
	if h.Token != "" && s.cfg.Tokens != nil {
		certificate, _ := hex.DecodeString(call.Certificate) // it was written by the same node
		bearer, err := s.cfg.Tokens.Verify(ctx, Shown{h.Token, certificate, call.Service})
		switch {
		case errors.Is(err, ErrUnavailable):
			return Standing{Good: true, Until: now.Add(lookAgain)}
		case err != nil:
			record.Decision.Errors = []string{"token: " + err.Error()}
			return s.ends(Standing{Token: true, Record: record})
		}
		call.Bearer, st.Until = bearer, bearer.Until
	}
	record.Decision = s.cfg.Engine.Decide(call.Request())
	if !record.Decision.Allow && record.Decision.Snapshot != "" {
		return s.ends(Standing{Record: record})
	}
	if s.cfg.TimeMatters != nil && s.cfg.TimeMatters() {
		if next := now.Add(lookAgain); st.Until.IsZero() || next.Before(st.Until) {
			st.Until = next
		}
	}
	return st
}

func (s *Server) ends(st Standing) Standing {
	st.Record.Took = s.cfg.Now().Sub(st.Record.At)
	if s.cfg.Record != nil {
		s.cfg.Record(st.Record)
	}
	return st
}
