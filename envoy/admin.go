package envoy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Admin asks an Envoy's admin interface over its Unix socket.
type Admin struct{ client *http.Client }

const maxAdminAnswer = 64 << 20

// NewAdmin returns a client of the admin interface at a Unix socket.
func NewAdmin(socket string) *Admin {
	return &Admin{&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Get returns what the admin interface says at a path, such as "/clusters?format=json".
func (a *Admin) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask Envoy: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("Envoy answers %s to %s: %s", resp.Status, path, strings.TrimSpace(string(body[:min(len(body), 200)]))) //nolint:staticcheck // a name
	}
	return body, nil
}

// Ready tells whether Envoy is live and has its listeners.
func (a *Admin) Ready(ctx context.Context) bool {
	_, err := a.Get(ctx, "/ready")
	return err == nil
}
