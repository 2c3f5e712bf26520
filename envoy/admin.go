package envoy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
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
		//nolint:staticcheck // a name
		return nil, fmt.Errorf("Envoy answers %s to %s: %s", resp.Status, path,
			strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	return body, nil
}

// listeners is Envoy's /listeners?format=json (envoy.admin.v3.Listeners), as far as it is needed.
type listeners struct {
	ListenerStatuses []struct {
		LocalAddress struct {
			SocketAddress struct {
				Address   string `json:"address"`
				PortValue uint16 `json:"port_value"`
			} `json:"socket_address"`
		} `json:"local_address"`
	} `json:"listener_statuses"`
}

// NotListening says at which of these addresses, IP:PORT, Envoy does not listen; "" if it does at all of them, or
// does not answer. Empty addresses do not count.
func (a *Admin) NotListening(ctx context.Context, addresses ...string) string {
	body, err := a.Get(ctx, "/listeners?format=json")
	if err != nil {
		return "" // it is not ready
	}
	var all listeners
	if err := json.Unmarshal(body, &all); err != nil {
		return "Envoy does not say where it listens: " + err.Error()
	}
	has := map[string]bool{}
	for _, l := range all.ListenerStatuses {
		at := l.LocalAddress.SocketAddress
		has[net.JoinHostPort(at.Address, strconv.Itoa(int(at.PortValue)))] = true
	}
	var missing []string
	for _, want := range addresses {
		if want != "" && !has[want] {
			missing = append(missing, want)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "Envoy does not listen at " + strings.Join(missing, " and ") +
		": see catalyst envoy status, and envoy.log in the data directory"
}

// Ready tells whether Envoy is live and has its listeners.
func (a *Admin) Ready(ctx context.Context) bool {
	_, err := a.Get(ctx, "/ready")
	return err == nil
}
