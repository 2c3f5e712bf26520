package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// largest bounds an answer of the engine, in bytes.
const largest = 64 << 20

// engine is a Docker Engine, asked over its Unix socket (Docker Engine API, docs.docker.com/reference/api/engine).
// Paths have no version, so that an engine answers as its own newest.
type engine struct{ http *http.Client }

func newEngine(socket string) *engine {
	return &engine{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
	}}}
}

// container is one of /containers/json.
type container struct {
	ID              string `json:"Id"`
	Names           []string
	Labels          map[string]string
	Created         int64
	Ports           []published
	HostConfig      struct{ NetworkMode string }
	NetworkSettings struct{ Networks map[string]attached }
}

// published is a port of a container; PublicPort is 0 where its machine does not publish it.
type published struct {
	IP                      string
	PrivatePort, PublicPort uint16
	Type                    string
}

// attached is a container's place in a network.
type attached struct{ IPAddress, GlobalIPv6Address string }

func (c *container) name() string {
	for _, n := range c.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") { // those with a slash are links of others
			return n
		}
	}
	return c.ID[:min(12, len(c.ID))]
}

// containers returns those that run, are labelled, and are healthy or have no HEALTHCHECK.
func (e *engine) containers(ctx context.Context) ([]container, error) {
	body, err := e.get(ctx, "/containers/json", map[string][]string{
		"label": {ServiceLabel}, "status": {"running"}, "health": {"healthy", "none"},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	var all []container
	if err := json.NewDecoder(io.LimitReader(body, largest)).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the containers: %w", err)
	}
	return all, nil
}

// event is one of /events.
type event struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
}

// events calls each with every event, until ctx ends or the engine ends the stream. ready is called once it is asked.
func (e *engine) events(ctx context.Context, ready func(), each func(event)) error {
	body, err := e.get(ctx, "/events", map[string][]string{"type": {"container", "network"}})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	ready()
	dec := json.NewDecoder(body)
	for {
		var ev event
		if err := dec.Decode(&ev); err != nil {
			return fmt.Errorf("its stream of events has ended: %w", err)
		}
		each(ev)
	}
}

// get asks the engine. The caller closes the body.
func (e *engine) get(ctx context.Context, path string, filters map[string][]string) (io.ReadCloser, error) {
	f, err := json.Marshal(filters)
	if err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: url.Values{"filters": {string(f)}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address in it is made up
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s is answered %s: %s", path, resp.Status, strings.TrimSpace(string(said)))
	}
	return resp.Body, nil
}
