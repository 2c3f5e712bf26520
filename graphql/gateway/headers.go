package gateway

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/exec"
)

// HeaderRules say which headers travel between clients and subgraphs. Nothing travels without a rule, apart from W3C
// trace context. Headers of one connection (RFC 9110 §7.6.1) and those that describe a body never travel.
type HeaderRules struct {
	// Request rules choose what subgraphs get. The rules are applied in order; a later one replaces the same header.
	Request []RequestHeader
	// Response rules choose what clients get.
	Response []ResponseHeader
	// Init rules choose what subgraphs get in the payload of connection_init, when they are asked for events over
	// WebSocket.
	Init []InitField
}

// InitField passes a field of the payload of a client's connection_init on. Of a client that did not use WebSocket, or
// sent no such field, the header of that name is taken.
type InitField struct {
	Name string
	// Rename is the name it is sent under; "" means the same.
	Rename string
	// Default is sent if the client sent neither.
	Default string
	// Subgraphs the rule is for; nil means all.
	Subgraphs []string
}

// RequestHeader passes headers of the client on to subgraphs.
type RequestHeader struct {
	// Name of the header, or Matching for all whose name (in lower case) the expression matches as a whole.
	Name     string
	Matching *regexp.Regexp
	// Rename is the name it is sent under; "" means the same. Only with Name.
	Rename string
	// Default is sent if the client sent none. Only with Name.
	Default string
	// Subgraphs the rule is for; nil means all.
	Subgraphs []string
}

// ResponseHeader passes headers of subgraphs' answers on to the client.
type ResponseHeader struct {
	Name     string
	Matching *regexp.Regexp
	Rename   string
	// Default is sent if no subgraph sent one. Only with Name.
	Default string
	// Take says whose counts if several subgraphs send the header.
	Take      Take
	Subgraphs []string
}

// Take says whose header counts.
type Take uint8

// The ways to take headers. Set-Cookie is never joined: each value stays a line of its own.
const (
	Append Take = iota // all of them, in the order of the plan
	First              // the first subgraph's
	Last               // the last subgraph's
)

// fixedHeaders never travel by a rule.
func fixedHeaders() []string {
	return []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade",
		"Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Expect",
		"Cache-Control", "Vary", "Date", "Traceparent", "Tracestate"}
}

// headerPlan is HeaderRules, ready for use.
type headerPlan struct {
	rules HeaderRules
	fixed map[string]bool
}

func (h HeaderRules) compile() headerPlan {
	p := headerPlan{
		rules: HeaderRules{Request: slices.Clone(h.Request), Response: slices.Clone(h.Response), Init: h.Init},
		fixed: map[string]bool{},
	}
	for _, name := range fixedHeaders() {
		p.fixed[name] = true
	}
	for i := range p.rules.Request {
		r := &p.rules.Request[i]
		r.Name, r.Rename = http.CanonicalHeaderKey(r.Name), http.CanonicalHeaderKey(r.Rename)
	}
	for i := range p.rules.Response {
		r := &p.rules.Response[i]
		r.Name, r.Rename = http.CanonicalHeaderKey(r.Name), http.CanonicalHeaderKey(r.Rename)
	}
	return p
}

// travels reports whether a header of a message may be passed on: not one that its Connection header names.
func (p *headerPlan) travels(name string, from http.Header) bool {
	if p.fixed[name] {
		return false
	}
	for _, line := range from["Connection"] {
		for _, token := range strings.Split(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), name) {
				return false
			}
		}
	}
	return true
}

// toSubgraphs returns what exec asks for each request; nil if no rule can give anything.
func (p *headerPlan) toSubgraphs(client http.Header) func(string) http.Header {
	if len(p.rules.Request) == 0 {
		return nil
	}
	return func(subgraph string) http.Header {
		out := http.Header{}
		for i := range p.rules.Request {
			if r := &p.rules.Request[i]; r.Subgraphs == nil || slices.Contains(r.Subgraphs, subgraph) {
				p.pass(r, client, out)
			}
		}
		return out
	}
}

func (p *headerPlan) pass(r *RequestHeader, client, out http.Header) {
	if r.Matching != nil {
		for name, values := range client {
			if whole(r.Matching, name) && p.travels(name, client) {
				out[name] = values
			}
		}
		return
	}
	target := cmp.Or(r.Rename, r.Name)
	if p.fixed[target] {
		return
	}
	if values := client[r.Name]; len(values) > 0 && p.travels(r.Name, client) {
		out[target] = values
	} else if r.Default != "" {
		out[target] = []string{r.Default}
	}
}

// inits returns what exec asks for the payloads of connection_init; nil if no rule can give anything.
func (p *headerPlan) inits(client http.Header, payload json.RawMessage) func(string) []byte {
	if len(p.rules.Init) == 0 {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil {
		fields = nil
	}
	return func(subgraph string) []byte {
		out := map[string]json.RawMessage{}
		for i := range p.rules.Init {
			r := &p.rules.Init[i]
			if r.Subgraphs != nil && !slices.Contains(r.Subgraphs, subgraph) {
				continue
			}
			if v := r.value(client, fields); v != nil {
				out[cmp.Or(r.Rename, r.Name)] = v
			}
		}
		if len(out) == 0 {
			return nil
		}
		raw, err := json.Marshal(out) // in the order of the names
		if err != nil {
			return nil // JSON that was read can be written
		}
		return raw
	}
}

// value is the JSON that a rule passes on, or nil.
func (r *InitField) value(client http.Header, fields map[string]json.RawMessage) json.RawMessage {
	if v, ok := fields[r.Name]; ok {
		return v
	}
	text := cmp.Or(client.Get(r.Name), r.Default)
	if text == "" {
		return nil
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return nil // strings can be written
	}
	return raw
}

// whole reports whether an expression matches a header's name from its begin to its end, in lower case.
func whole(re *regexp.Regexp, name string) bool {
	name = strings.ToLower(name)
	at := re.FindStringIndex(name)
	return at != nil && at[0] == 0 && at[1] == len(name)
}

// toClient adds to an answer's headers what the rules take from the answers of subgraphs.
func (p *headerPlan) toClient(answers []exec.Answer, out http.Header) {
	for i := range p.rules.Response {
		r := &p.rules.Response[i]
		if r.Matching == nil {
			p.take(r, r.Name, answers, out)
			continue
		}
		seen := map[string]bool{}
		for _, a := range answers {
			for name := range a.Header {
				if !seen[name] && whole(r.Matching, name) {
					seen[name] = true
					p.take(r, name, answers, out)
				}
			}
		}
	}
}

// take adds one header.
func (p *headerPlan) take(r *ResponseHeader, name string, answers []exec.Answer, out http.Header) {
	target := cmp.Or(r.Rename, name)
	if p.fixed[target] || strings.HasPrefix(target, "Access-Control-") {
		return
	}
	var values []string
	for _, a := range answers {
		got := a.Header[name]
		if len(got) == 0 || r.Subgraphs != nil && !slices.Contains(r.Subgraphs, a.Service) || !p.travels(name, a.Header) {
			continue
		}
		switch {
		case r.Take == Last:
			values = got
		case r.Take == First && values == nil, r.Take == Append:
			values = append(values[:len(values):len(values)], got...)
		}
	}
	switch {
	case values != nil:
		out[target] = slices.Clone(values)
	case r.Default != "":
		out[target] = []string{r.Default}
	}
}
