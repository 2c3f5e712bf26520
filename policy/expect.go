package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Expectation is a decision that a set of policies has to make: one line of a test.
type Expectation struct {
	Name     string   `json:"name"`
	Call     *Call    `json:"call,omitempty"`
	Order    *Order   `json:"order,omitempty"` // instead of a call
	Allow    bool     `json:"allow"`
	Policies []string `json:"policies,omitempty"` // those that have to make the decision; any if none are named
}

// ReadExpectations reads a JSON list of them. A field that there is not is an error that names it.
func ReadExpectations(text []byte) (all []Expectation, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil {
		return nil, fmt.Errorf("want a list of expectations: %w", err)
	}
	return all, nil
}

// Try returns what is wrong; "" if the set decides as expected.
func (s *Snapshot) Try(e Expectation) string {
	var d Decision
	switch {
	case e.Call != nil && e.Order == nil:
		d = s.Decide(e.Call.Request())
	case e.Order != nil && e.Call == nil:
		d = s.Decide(e.Order.Request())
	default:
		return "want either a call or an order"
	}
	word := map[bool]string{true: "allowed", false: "denied"}
	switch {
	case d.Allow != e.Allow:
		return fmt.Sprintf("is %s by %s, want %s", word[d.Allow], by(d), word[e.Allow])
	case len(e.Policies) > 0 && !slices.Equal(slices.Sorted(slices.Values(e.Policies)), d.Policies):
		return fmt.Sprintf("is %s by %s, want by %s", word[d.Allow], by(d), strings.Join(e.Policies, ", "))
	}
	return ""
}

func by(d Decision) string {
	switch {
	case len(d.Errors) > 0:
		return "an error: " + strings.Join(d.Errors, "; ")
	case len(d.Policies) == 0:
		return "no policy"
	}
	return strings.Join(d.Policies, ", ")
}
