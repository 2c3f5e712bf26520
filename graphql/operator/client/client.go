// Package client is the operator API as the command line uses it: typed calls over a node's Unix socket, and the
// subscription to changes.
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Khan/genqlient/graphql"
)

// ErrUnreachable tells that no node answers at the socket.
var ErrUnreachable = errors.New("no node answers") //nolint:gochecknoglobals // a sentinel

// Client talks to one node.
type Client struct {
	graphql.Client
	http   *http.Client
	socket string
}

const endpoint = "http://node/graphql"

// New returns a client of the node behind a Unix socket.
func New(socket string) *Client {
	h := &http.Client{Transport: operatorOnly{socket,
		&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", socket)
			if err != nil {
				return nil, unreachable(socket, err)
			}
			return conn, nil
		}}}}
	return &Client{Client: graphql.NewClient(endpoint, h), http: h, socket: socket}
}

// unreachable says what keeps a user from a node's socket, and what to do.
func unreachable(socket string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w to this user at %s: the socket is for the user that runs the node, so be that user or root, "+
			"as by sudo -u catalyst (%w)", ErrUnreachable, socket, err)
	}
	return fmt.Errorf("%w at %s: start one with catalyst node, or name its socket with --socket or CATALYST_SOCKET (%w)",
		ErrUnreachable, socket, err)
}

// NewRemote returns a client of the operator API of a node elsewhere, at an https URL without a path. It shows the
// token, unless that is empty.
func NewRemote(at, token string, secure *tls.Config) *Client {
	at = strings.TrimSuffix(at, "/")
	h := &http.Client{Transport: remote{at, token, operatorOnly{at, &http.Transport{
		TLSClientConfig: secure, ForceAttemptHTTP2: true,
	}}}}
	return &Client{Client: graphql.NewClient(endpoint, h), http: h, socket: at}
}

// remote sends what is meant for the node behind a socket elsewhere.
type remote struct {
	at, token string
	next      operatorOnly
}

// RoundTrip implements http.RoundTripper.
func (r remote) RoundTrip(req *http.Request) (*http.Response, error) {
	there, err := url.Parse(r.at + "/graphql")
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.URL, req.Host = there, there.Host
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.next.next.RoundTrip(req)
	switch {
	case err != nil && req.Context().Err() == nil:
		return nil, fmt.Errorf("%w at %s (%w)", ErrUnreachable, r.at, err)
	case err != nil || resp.StatusCode == http.StatusOK:
		return resp, err
	}
	why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	_ = resp.Body.Close()
	return nil, fmt.Errorf("%s answers %s: %s", r.at, resp.Status, strings.TrimSpace(string(why)))
}

// operatorOnly tells whether it is the operator API that answers at a socket: a node has others beside it, for Envoy.
type operatorOnly struct {
	socket string
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o operatorOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(req)
	switch {
	case err != nil && (errors.Is(err, ErrUnreachable) || req.Context().Err() != nil):
		return nil, err
	case errors.Is(err, io.EOF) || errors.As(err, new(*net.OpError)):
		return nil, fmt.Errorf("%w at %s that is an operator API: is it the socket catalyst.sock in the node's data "+
			"directory? (%w)", ErrUnreachable, o.socket, err)
	case err != nil: // it speaks no HTTP; what it said instead is of no use to a user
		return nil, o.another()
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch kind {
	case "application/json", "application/graphql-response+json", "text/event-stream":
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, o.another()
}

func (o operatorOnly) another() error {
	return fmt.Errorf("%w at %s that is an operator API: is it the socket catalyst.sock in the node's data directory?",
		ErrUnreachable, o.socket)
}

// Change is one element of the subscription.
type Change struct {
	Kind    string         `json:"kind"`
	Service string         `json:"service,omitempty"`
	Route   *RouteFields   `json:"route,omitempty"`
	Session *SessionChange `json:"session,omitempty"`
	Skipped int            `json:"skipped,omitempty"`
}

// SessionChange is what a session did.
type SessionChange struct {
	Peer   string `json:"peer"`
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason,omitempty"`
	ByPeer bool   `json:"byPeer,omitempty"`
}

// changesQuery is written out because the subscription is read by hand; RouteFields is the generated fragment.
const changesQuery = `subscription ($match: [String!]!, $peers: Boolean!) { changes(match: $match, peers: $peers) { kind service skipped session { peer from to reason byPeer } route { service protocol revision port problem
  paths { peer local nodePath origin nextHop tier localPref med weight health region tags communities stale staleSince staleUntil rejected decidedBy importTerm }
  envoys { node resource version sent acknowledged acknowledgedAt error refused refusedAt } } } }`

// Changes calls yield for each change of a name that a pattern of match covers, of all if there is none, and with
// peers for what sessions do, until it returns an error, the node stops or ctx ends (GraphQL over server-sent
// events).
func (c *Client) Changes(ctx context.Context, match []string, peers bool, yield func(Change) error) error {
	return subscribe(ctx, c, changesQuery, map[string]any{"match": append([]string{}, match...), "peers": peers},
		func(data struct{ Changes *Change }) error {
			if data.Changes == nil {
				return nil
			}
			return yield(*data.Changes)
		})
}

// Tapped is a call, and how many before it are not told.
type Tapped struct {
	Call   CallFields `json:"call"`
	Missed int        `json:"missed,omitempty"`
}

const tapQuery = `subscription ($filter: CallFilter!) { tap(filter: $filter) { missed call {
  number at took seen envoy service method path status grpcStatus flags reason outcome caller organisation way upstream sent received
  trace principal policies decision } } }`

// Tap calls yield for each call that a filter takes as it ends, until it returns an error, the node stops or ctx ends.
func (c *Client) Tap(ctx context.Context, filter CallFilter, yield func(Tapped) error) error {
	return subscribe(ctx, c, tapQuery, map[string]any{"filter": filter}, func(data struct{ Tap *Tapped }) error {
		if data.Tap == nil {
			return nil
		}
		return yield(*data.Tap)
	})
}

// subscribe calls yield with the data of each event of a subscription (GraphQL over server-sent events).
func subscribe[T any](
	ctx context.Context, c *Client, query string, variables map[string]any, yield func(T) error,
) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("watch: the node answers %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok || strings.TrimSpace(data) == "" {
			continue
		}
		var event struct {
			Data   T
			Errors []struct{ Message string }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if len(event.Errors) > 0 {
			return errors.New(event.Errors[0].Message)
		}
		if err := yield(event.Data); err != nil {
			return err
		}
	}
	if err := lines.Err(); !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errors.New("the node has stopped")
}
