package exec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Defaults for the zero values of Config and Subgraph.
const (
	DefaultTimeout          = 30 * time.Second
	DefaultMaxResponseBytes = 32 << 20
	DefaultMaxValues        = 4 << 20
	DefaultSubgraphRequests = 512
	DefaultRequests         = 64
	DefaultErrors           = 200
)

// Config is what an Executor is made of. It is not changed afterwards.
type Config struct {
	// Subgraphs by name, as in plan.Request.Service. A plan that names another one gets an error there
	// (CodeUnknownSubgraph).
	Subgraphs map[string]Subgraph
	// Transport for subgraphs without one of their own. nil means a new NewTransport, closed by Close. Pass the same one
	// to each new Executor, so that connections outlive a change of the graph.
	Transport http.RoundTripper
	// MaxResponseBytes bounds one body of a subgraph, after decompression. Zero means 32 MiB.
	MaxResponseBytes int
	// MaxOperationBytes bounds all bodies held for one operation together. Zero means four times MaxResponseBytes.
	MaxOperationBytes int
	// Memory bounds what large answers of all operations hold together. Give each executor of a process the same one.
	// nil means no bound.
	Memory *Memory
	// MaxValues bounds the JSON values held for one operation, at 24 bytes each. Zero means 4 Mi.
	MaxValues int
	// MaxRequests is how many requests to subgraphs one operation may have in flight. Zero means 64.
	MaxRequests int
	// MaxErrors bounds `errors`; one more says how many were left out. Zero means 200.
	MaxErrors int
	// ErrorMode is what clients see of the errors of subgraphs.
	ErrorMode ErrorMode
	// Observer is told about every request to a subgraph; nil means nobody.
	Observer Observer
	// MaxEvents is how many events of a subscription may wait for a slow client before its stream ends with an error.
	// Zero means 64.
	MaxEvents int
}

// ErrorMode is what clients see of the errors of subgraphs.
type ErrorMode uint8

// The error modes.
const (
	// PassThrough shows each error with its message and extensions.
	PassThrough ErrorMode = iota
	// Wrapped shows one error for each failed request, with the subgraph's errors in `extensions.errors`.
	Wrapped
	// Masked shows that something failed and where in the response, but no text, no extensions but the code, and no
	// subgraph's name.
	Masked
)

// Subgraph says how a subgraph is reached.
type Subgraph struct {
	// URL of the GraphQL endpoint, http or https. Required.
	URL string
	// Host replaces the URL's host in the request (Host, :authority), for a local proxy that chooses by it. Empty means
	// the URL's.
	Host string
	// Header is sent with every request.
	Header http.Header
	// Timeout of one request, all its retries included. Zero means 30 s. The operation's deadline counts as well.
	Timeout time.Duration
	// Retries is how often a query is sent again after a connection error or 502, 503 and 504. Mutations never are.
	Retries int
	// Backoff before the first retry; it doubles each time, with jitter. Zero means 25 ms.
	Backoff time.Duration
	// MaxRequests is how many requests may be in flight to it. Zero means 512.
	MaxRequests int
	// MaxResponseBytes bounds one body, after decompression. Zero means Config.MaxResponseBytes.
	MaxResponseBytes int
	// Compress asks for compressed answers. It costs more than it saves on a loopback connection.
	Compress bool
	// Transport for this subgraph; nil means Config.Transport.
	Transport http.RoundTripper
	// Idle, if not zero, is how long connections to this subgraph are kept that nothing is sent on. Whatever it is, a
	// subgraph that says `Keep-Alive: timeout=` less is believed.
	Idle time.Duration
	// Subscription says how events are got.
	Subscription Subscription
}

// Subscription says how events of a subgraph are got.
type Subscription struct {
	// Protocol, by default Probe.
	Protocol Protocol
	// URL, if it is another one than the subgraph's. ws and wss mean http and https.
	URL string
	// Transport for WebSockets, which need HTTP/1.1; nil means the subgraph's, restricted to it.
	Transport http.RoundTripper
	// Share has equal subscriptions of one caller, with equal headers, receive the events of one: who comes later sees
	// what happens from then on.
	Share bool
	// Silence, if not zero, is how long a stream of server-sent events may bring nothing, comments included, before it
	// is given up. WebSockets are pinged instead.
	Silence time.Duration
	// Ping is how often a WebSocket is pinged; a peer that does not answer within the same time is given up. Zero means
	// 20 s.
	Ping time.Duration
	// Reconnects is how often in succession a lost stream is opened again. Events in between are lost.
	Reconnects int
}

// Protocol is how subscriptions travel.
type Protocol uint8

// The protocols.
const (
	// Probe tries WebSocket and falls back to SSE; what worked is remembered as long as the Executor lives.
	Probe Protocol = iota
	// WebSocket is the graphql-transport-ws subprotocol.
	WebSocket
	// SSE is GraphQL over server-sent events, distinct connections mode.
	SSE
)

// validate reports every problem of the configuration at once.
func (c *Config) validate() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Subgraphs)) {
		s := c.Subgraphs[name]
		errs = append(errs, checkURL(name, "URL", s.URL, "http", "https"))
		if s.Subscription.URL != "" {
			errs = append(errs, checkURL(name, "Subscription.URL", s.Subscription.URL, "http", "https", "ws", "wss"))
		}
		if s.Retries < 0 || s.Timeout < 0 || s.Backoff < 0 || s.MaxRequests < 0 || s.MaxResponseBytes < 0 ||
			s.Subscription.Silence < 0 {
			errs = append(errs, fmt.Errorf("subgraph %s: Retries, Timeout, Backoff, MaxRequests, MaxResponseBytes and "+
				"Subscription.Silence must not be negative", name))
		}
	}
	if c.MaxResponseBytes < 0 || c.MaxOperationBytes < 0 || c.MaxValues < 0 || c.MaxRequests < 0 || c.MaxErrors < 0 ||
		c.MaxEvents < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	return errors.Join(errs...)
}

func checkURL(subgraph, field, raw string, schemes ...string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("subgraph %s: %s: %w", subgraph, field, err)
	}
	if u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("subgraph %s: %s %q must be an absolute URL with one of the schemes %v", subgraph, field, raw,
			schemes)
	}
	return nil
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.MaxResponseBytes = cmp.Or(c.MaxResponseBytes, DefaultMaxResponseBytes)
	c.MaxOperationBytes = cmp.Or(c.MaxOperationBytes, 4*c.MaxResponseBytes)
	c.MaxValues = cmp.Or(c.MaxValues, DefaultMaxValues)
	c.MaxRequests = cmp.Or(c.MaxRequests, DefaultRequests)
	c.MaxErrors = cmp.Or(c.MaxErrors, DefaultErrors)
	c.MaxEvents = cmp.Or(c.MaxEvents, 64)
	return c
}

// TransportOptions are the choices of NewTransport.
type TransportOptions struct {
	// H2C speaks HTTP/2 with prior knowledge over plain TCP, as to a local Envoy.
	H2C bool
	// Connections kept idle for each address. Zero means 256.
	Connections int
	// Idle is how long a connection is kept that nothing is sent on. Zero means 4 s, or 90 s with H2C: many HTTP/1
	// servers close theirs after 5 s, and a mutation that meets the end of a connection cannot be sent again.
	Idle time.Duration
}

// NewTransport returns a transport for many requests to few addresses: no proxy, no transparent compression,
// kept-alive connections.
func NewTransport(o TransportOptions) *http.Transport {
	n := cmp.Or(o.Connections, 256)
	t := &http.Transport{
		MaxIdleConnsPerHost: n,
		MaxIdleConns:        4 * n,
		IdleConnTimeout:     cmp.Or(o.Idle, 4*time.Second),
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true,
		ForceAttemptHTTP2:   true,
		// Bodies go past these buffers: a large one is read into its own memory, and written from it.
		ReadBufferSize:  8 << 10,
		WriteBufferSize: 4 << 10,
		// A subgraph gets no megabytes of headers into memory.
		MaxResponseHeaderBytes: 64 << 10,
	}
	if o.H2C {
		t.IdleConnTimeout = cmp.Or(o.Idle, 90*time.Second)
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}
