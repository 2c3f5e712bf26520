package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/bgp"
)

// Gateway is the GraphQL gateway: beside a node, or alone (catalyst gateway, whose flags are these names without
// gateway-).
type Gateway struct {
	Listen   string `yaml:"listen" doc:"HOST:PORT of the GraphQL gateway, /graphql on it; empty for none (catalyst gateway takes 127.0.0.1:4000 then)" default:""`
	TLSCert  string `yaml:"tls-cert" doc:"PEM file of the gateway's certificate chain; wanted beyond loopback" default:""`
	TLSKey   string `yaml:"tls-key" doc:"PEM file of its key" default:""`
	Insecure bool   `yaml:"insecure" doc:"allow gateway.listen beyond loopback without TLS" default:"false"`
	Metrics  string `yaml:"metrics" doc:"loopback HOST:PORT of /metrics of catalyst gateway, and of what catalyst graph plan --gateway asks; empty for none (a node serves them at admin)" default:""`

	Supergraph string              `yaml:"supergraph" doc:"file with a composed supergraph, read again when it changes; for catalyst gateway alone" default:""`
	Subgraphs  map[string]Subgraph `yaml:"subgraphs" doc:"subgraphs by name, each an object of url, host, h2c, timeout, retries, idle, compress, headers, keys, subscription-url and subscription-protocol; for catalyst gateway alone" default:""`
	Poll       time.Duration       `yaml:"poll" doc:"how often subgraphs are asked for their schema anew, at least 100ms" default:"10s"`
	Linger     time.Duration       `yaml:"linger" doc:"how long a subgraph stays in the graph after its route has gone; 0s to 1h" default:"10s"`
	Schemas    string              `yaml:"schemas" doc:"directory of SERVICE.graphql files, the schemas of services that do not tell their own" default:""`
	Operator   bool                `yaml:"operator" doc:"offer this node's operator API to the organisation, read-only and against a token with the scope catalyst:operator, and every node's as a subgraph; wants gateway.jwks" default:"false"`
	Memory     string              `yaml:"memory" doc:"file that keeps who is in the graph over restarts, so that they stay before newcomers that conflict with them; empty for graph.json in a node's data directory, and for none alone" default:""`
	StartWait  time.Duration       `yaml:"start-wait" doc:"how long the first graph waits for subgraphs that do not answer yet; then the others serve" default:"5s"`

	Introspection bool          `yaml:"introspection" doc:"answer __schema and __type" default:"true"`
	GraphiQL      bool          `yaml:"graphiql" doc:"serve GraphiQL to browsers" default:"true"`
	Errors        string        `yaml:"errors" doc:"what clients see of subgraphs' errors: pass, wrapped or masked" default:"pass"`
	Share         bool          `yaml:"share" doc:"let identical queries to a subgraph, in flight for one caller, share one answer" default:"true"`
	Timeout       time.Duration `yaml:"timeout" doc:"time of a query or mutation; what is there by then is answered" default:"30s"`
	Slow          time.Duration `yaml:"slow" doc:"operations that take longer are logged; 0s for none" default:"1s"`
	FetchTimeout  time.Duration `yaml:"fetch-timeout" doc:"time of one request to a subgraph, retries included" default:"30s"`
	FetchRetries  int           `yaml:"fetch-retries" doc:"how often a query to a subgraph is sent again after a connection error or 502, 503, 504" default:"1"`

	Labels map[string]bool `yaml:"labels" doc:"labels of @override(label:) that are on or off for every request, such as {new-prices: true}; others are on as they say: percent(25) for a quarter of the requests" default:""`

	CompressFrom int `yaml:"compress-from" doc:"bytes that an answer has at least that is compressed for clients who take gzip, br or zstd; streams always are; 0 for never" default:"1024"`

	MaxBody       int `yaml:"max-body" doc:"bytes of a request" default:"2097152"`
	MaxTokens     int `yaml:"max-tokens" doc:"tokens of a document" default:"20000"`
	MaxDepth      int `yaml:"max-depth" doc:"fields in each other" default:"100"`
	MaxAliases    int `yaml:"max-aliases" doc:"aliases of an operation" default:"1000"`
	MaxRootFields int `yaml:"max-root-fields" doc:"root fields of an operation" default:"500"`
	MaxFields     int `yaml:"max-fields" doc:"fields of an operation, fragments resolved" default:"20000"`
	MaxCost       int `yaml:"max-cost" doc:"static cost of an operation by @cost and @listSize; 0 for no limit" default:"0"`
	ListSize      int `yaml:"list-size" doc:"how many elements a list of unknown size counts in the cost" default:"10"`
	MaxBatch      int `yaml:"max-batch" doc:"operations in one request, as a JSON list; 0 refuses lists" default:"0"`
	MaxConcurrent int `yaml:"max-concurrent" doc:"queries and mutations in flight; more get 503" default:"2048"`
	MaxResponse   int `yaml:"max-response" doc:"bytes of one answer of a subgraph" default:"33554432"`
	MaxResponses  int `yaml:"max-responses" doc:"bytes of all answers of subgraphs that are held at one time, those below 1 MiB apart; further ones are refused; 0 for no limit" default:"1073741824"`
	MaxStreams    int `yaml:"max-streams" doc:"subscriptions, deferred operations and WebSockets at one time" default:"10000"`
	MaxUpload     int `yaml:"max-upload" doc:"bytes of all files of one request; 0 refuses uploads" default:"67108864"`
	CacheBytes    int `yaml:"cache-bytes" doc:"memory for answers whose Cache-Control allows to keep them; 0 for none" default:"0"`

	CSRF            string   `yaml:"csrf" doc:"prevention of cross-site request forgery: on, strict (every simple request needs a header) or off" default:"on"`
	CORSOrigins     []string `yaml:"cors-origins" doc:"origins whose pages may read answers, such as [https://app.example]; [*] for all" default:"[]"`
	CORSCredentials bool     `yaml:"cors-credentials" doc:"let those pages send cookies" default:"false"`
	CORSHeaders     []string `yaml:"cors-headers" doc:"headers those pages may send besides Content-Type and Authorization" default:"[]"`

	Documents     string `yaml:"persisted-documents" doc:"JSON file of persisted documents by id, or an Apollo manifest" default:""`
	OnlyPersisted bool   `yaml:"only-persisted" doc:"refuse documents that are not in that file" default:"false"`
	APQ           bool   `yaml:"apq" doc:"automatic persisted queries" default:"true"`

	RequestHeaders  []HeaderRule `yaml:"request-headers" doc:"headers passed on to subgraphs: a list of objects of name or matching, rename, default, subgraphs" default:"[]"`
	ResponseHeaders []HeaderRule `yaml:"response-headers" doc:"headers of subgraphs passed on to clients: the same, and take: append, first or last" default:"[]"`

	ConnectionInit []HeaderRule  `yaml:"connection-init" doc:"fields of a client's connection_init payload passed on to subgraphs that are asked for events over WebSocket: a list of objects of name, rename, default, subgraphs" default:"[]"`
	ShareEvents    bool          `yaml:"share-subscriptions" doc:"let equal subscriptions of one caller be one towards the subgraph" default:"false"`
	EventSilence   time.Duration `yaml:"event-silence" doc:"how long a subgraph's stream of server-sent events may bring nothing, not even a comment, before it is given up; 0s for ever" default:"0s"`

	EventReconnects int `yaml:"event-reconnects" doc:"how often in succession a subgraph's stream of events that was lost is opened again, at most 100; what happens meanwhile is not told to the client; 0 ends the client's stream with an error" default:"0"`

	NameOperations bool `yaml:"name-operations" doc:"name operations to subgraphs after the client's: Client__subgraph__0" default:"true"`

	JWKS     secret.URL `yaml:"jwks" doc:"file or URL of the keys of bearer tokens (ES384 only); empty leaves every caller anonymous" default:""`
	Issuer   string     `yaml:"issuer" doc:"iss that tokens must have; wanted with gateway.jwks" default:""`
	Audience string     `yaml:"audience" doc:"aud that tokens must have; wanted with gateway.jwks" default:""`
	Required bool       `yaml:"require-identity" doc:"refuse callers without a token" default:"false"`
}

// Subgraph is how a subgraph is reached.
type Subgraph struct {
	URL      secret.URL             `yaml:"url"`
	Host     string                 `yaml:"host"`
	H2C      bool                   `yaml:"h2c"`
	Timeout  time.Duration          `yaml:"timeout"`
	Retries  *int                   `yaml:"retries"`
	Idle     time.Duration          `yaml:"idle"`
	Compress bool                   `yaml:"compress"`
	Headers  map[string]secret.Text `yaml:"headers"`
	Keys     map[string][]string    `yaml:"keys"`
	// EventURL and EventProtocol are where and how it is asked for events.
	EventURL      secret.URL `yaml:"subscription-url"`
	EventProtocol string     `yaml:"subscription-protocol"`
}

// HeaderRule passes headers on.
type HeaderRule struct {
	Name      string      `yaml:"name"`
	Matching  string      `yaml:"matching"`
	Rename    string      `yaml:"rename"`
	Default   secret.Text `yaml:"default"`
	Subgraphs []string    `yaml:"subgraphs"`
	Take      string      `yaml:"take"`
}

// checkEvents checks where and how a subgraph is asked for events.
func (s Subgraph) checkEvents(key string, bad func(key, format string, args ...any)) {
	if s.EventURL.Reveal() != "" {
		u, err := s.EventURL.Parse()
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) {
			bad(key+".subscription-url", "%q: want an http, https, ws or wss URL", s.EventURL)
		}
	}
	if !slices.Contains([]string{"", "ws", "sse"}, s.EventProtocol) {
		bad(key+".subscription-protocol", "%q: want ws, sse, or nothing for whichever works", s.EventProtocol)
	}
}

// check reports every problem.
func (g *Gateway) check(bad func(key, format string, args ...any)) {
	g.checkListen(bad)
	for _, name := range slices.Sorted(maps.Keys(g.Subgraphs)) {
		if u, err := g.Subgraphs[name].URL.Parse(); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("gateway.subgraphs."+name+".url", "%q: want an http or https URL", g.Subgraphs[name].URL)
		}
		g.Subgraphs[name].checkEvents("gateway.subgraphs."+name, bad)
	}
	if g.Supergraph != "" && len(g.Subgraphs) > 0 {
		bad("gateway.supergraph", "and gateway.subgraphs cannot both be given: a supergraph is composed already")
	}
	oneOf := func(key, v string, choices ...string) {
		if !slices.Contains(choices, v) {
			bad(key, "%q: want one of %v", v, choices)
		}
	}
	oneOf("gateway.errors", g.Errors, "pass", "wrapped", "masked")
	oneOf("gateway.csrf", g.CSRF, "on", "strict", "off")
	g.checkNumbers(bad)
	for i, r := range g.RequestHeaders {
		r.check(fmt.Sprintf("gateway.request-headers[%d]", i), bad)
	}
	for i, r := range g.ConnectionInit {
		key := fmt.Sprintf("gateway.connection-init[%d]", i)
		if r.check(key, bad); r.Matching != "" {
			bad(key+".matching", "fields of a payload are passed on by name")
		}
	}
	if g.EventSilence < 0 {
		bad("gateway.event-silence", "%s: must not be negative", g.EventSilence)
	}
	if g.EventReconnects < 0 || g.EventReconnects > 100 {
		bad("gateway.event-reconnects", "%d: want 0 to 100", g.EventReconnects)
	}
	for i, r := range g.ResponseHeaders {
		r.check(fmt.Sprintf("gateway.response-headers[%d]", i), bad)
		oneOf(fmt.Sprintf("gateway.response-headers[%d].take", i), r.Take, "", "append", "first", "last")
	}
	switch {
	case g.JWKS.Reveal() != "" && (g.Issuer == "" || g.Audience == ""):
		bad("gateway.jwks", "wants gateway.issuer and gateway.audience: a token for somebody else must not pass")
	case g.JWKS.Reveal() == "" && g.Operator:
		bad("gateway.operator", "wants gateway.jwks: nobody may read a node without a token")
	case g.JWKS.Reveal() == "" && g.Required:
		bad("gateway.require-identity", "wants gateway.jwks")
	case g.OnlyPersisted && g.Documents == "":
		bad("gateway.only-persisted", "wants gateway.persisted-documents")
	}
}

func (g *Gateway) checkListen(bad func(key, format string, args ...any)) {
	if (g.TLSCert == "") != (g.TLSKey == "") {
		bad("gateway.tls-cert", "and gateway.tls-key belong together")
	}
	if g.Listen != "" {
		at, err := bgp.ParseListen(g.Listen)
		switch {
		case err != nil:
			bad("gateway.listen", "%w", err)
		case !isLoopback(at.Host) && g.TLSCert == "" && !g.Insecure:
			bad("gateway.listen", "%q: is beyond loopback and has no TLS; give gateway.tls-cert and gateway.tls-key, or "+
				"gateway.insecure if something else encrypts", g.Listen)
		}
	}
	if g.Metrics != "" {
		if at, err := bgp.ParseListen(g.Metrics); err != nil || !isLoopback(at.Host) {
			bad("gateway.metrics", "%q: want HOST:PORT on loopback", g.Metrics)
		}
	}
}

func (g *Gateway) checkNumbers(bad func(key, format string, args ...any)) {
	for key, v := range map[string]int{"max-body": g.MaxBody, "max-tokens": g.MaxTokens, "max-depth": g.MaxDepth,
		"max-aliases": g.MaxAliases, "max-root-fields": g.MaxRootFields,
		"max-fields": g.MaxFields, "list-size": g.ListSize, "max-concurrent": g.MaxConcurrent,
		"max-response": g.MaxResponse, "max-streams": g.MaxStreams} {
		if v < 1 {
			bad("gateway."+key, "%d: want at least 1", v)
		}
	}
	for key, v := range map[string]int{"max-cost": g.MaxCost, "max-batch": g.MaxBatch, "max-upload": g.MaxUpload,
		"cache-bytes": g.CacheBytes, "compress-from": g.CompressFrom, "max-responses": g.MaxResponses,
		"fetch-retries": g.FetchRetries} {
		if v < 0 {
			bad("gateway."+key, "%d: must not be negative", v)
		}
	}
	for key, v := range map[string]time.Duration{"timeout": g.Timeout, "fetch-timeout": g.FetchTimeout, "poll": g.Poll} {
		if v < 100*time.Millisecond {
			bad("gateway."+key, "%s: want at least 100ms", v)
		}
	}
	if g.Linger < 0 || g.Linger > time.Hour {
		bad("gateway.linger", "%s: want 0s to 1h", g.Linger)
	}
	if g.StartWait < 0 || g.Slow < 0 {
		bad("gateway.start-wait", "and gateway.slow must not be negative")
	}
}

func (r *HeaderRule) check(key string, bad func(key, format string, args ...any)) {
	if (r.Name == "") == (r.Matching == "") {
		bad(key, "want either name or matching")
	}
	if _, err := regexp.Compile(r.Matching); err != nil {
		bad(key+".matching", "%v", err)
	}
	if r.Matching != "" && (r.Rename != "" || r.Default.Reveal() != "") {
		bad(key, "rename and default want a name")
	}
}
