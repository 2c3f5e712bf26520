package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Client calls the administration API.
type Client struct {
	http *http.Client
	base string
}

// NewClient returns a client of the service at base, such as https://auth.acme.example:7480.
func NewClient(base string, transport http.RoundTripper) *Client {
	return &Client{&http.Client{Transport: transport}, base}
}

// NewOwnerClient returns a client of the service behind a Unix socket.
func NewOwnerClient(socket string) *Client {
	return NewClient("http://identity-service", &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	})
}

// NewLocalClient returns a client of a handler in this process, for a service that nobody runs.
func NewLocalClient(h http.Handler) *Client { return NewClient("http://identity-service", local{h}) }

type local struct{ h http.Handler }

// RoundTrip implements http.RoundTripper.
func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := &answer{header: http.Header{}, code: http.StatusOK}
	l.h.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.code, Status: http.StatusText(w.code), Header: w.header, Body: io.NopCloser(&w.body), Request: r,
	}, nil
}

type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// Failed is an answer of the service that is no success.
type Failed struct {
	Status int
	Text   string
}

// Error implements error.
func (f *Failed) Error() string { return f.Text }

// Get reads.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil,
		out)
}

// Post changes.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, http.MethodPost, path, in, out)
}

// PostForm asks one of OAuth's endpoints.
func (c *Client) PostForm(ctx context.Context, path string, form url.Values, out any) error {
	return c.send(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()), out)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.send(ctx, method, path, "application/json", b, out)
}

func (c *Client) send(ctx context.Context, method, path, kind string, b []byte, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", kind)
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask the identity service: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the identity service's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return failure(resp.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the identity service's answer: %w", err)
	}
	return nil
}

func failure(status int, body []byte) error {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		return &Failed{status, fmt.Sprintf("the identity service answers with HTTP status %d", status)}
	}
	if e.Description != "" {
		return &Failed{status, e.Description}
	}
	return &Failed{status, e.Error}
}

// IsRefusal tells whether the service refused what was asked, in contrast to one that could not be asked.
func IsRefusal(err error) bool {
	f, ok := errors.AsType[*Failed](err)
	return ok && f.Status < http.StatusInternalServerError
}
