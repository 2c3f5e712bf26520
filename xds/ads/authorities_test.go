package ads_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// 1,000 streams to 50 authorities over one connection, all of them under way at the same time, half of the services
// two hops away: every byte arrives at the service that was asked, and comes back to who asked.
func TestManyAuthoritiesOverOneConnection(t *testing.T) {
	const authorities, streams = 50, 1000
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	var arrived atomic.Int64
	all := make(chan struct{})
	name := func(i int) bgp.Service { return bgp.Service(fmt.Sprintf("s%d.acme.example", i)) }
	var at, near, far []xds.Forwarding
	for i := range authorities {
		w := echoing(t, string(name(i)), func(ctx context.Context) {
			if arrived.Add(1) == streams {
				close(all)
			}
			select {
			case <-all:
			case <-ctx.Done():
			}
		})
		at = append(at, to(name(i), bgp.HTTP, []xds.Target{backend(w)}))
		near = append(near, to(name(i), bgp.HTTP, []xds.Target{a.hop()}))
		hop := a.hop()
		if i%2 == 1 {
			hop = b.hop()
		}
		far = append(far, to(name(i), bgp.HTTP, []xds.Target{hop}))
	}
	a.apply(at...)
	b.apply(near...)
	c.apply(far...)
	var dialled atomic.Int64
	dial := func(ctx context.Context, network, _ string, _ *tls.Config) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, c.egress)
	}
	//nolint:staticcheck // what takes its place dials a connection for each request that begins at the same time
	over := &http2.Transport{AllowHTTP: true, StrictMaxConcurrentStreams: true, DialTLSContext: dial}
	client := &http.Client{Timeout: patience, Transport: over}
	t.Cleanup(client.CloseIdleConnections)
	for i := range authorities {
		waitFor(t, "a way to "+string(name(i)), func() bool {
			_, err := exchange(t, client, name(i), []byte("ready"))
			return err == nil
		})
	}
	client.CloseIdleConnections() // those that were left while ways came to be
	before := dialled.Load()
	var asked sync.WaitGroup
	for i := range streams {
		asked.Go(func() {
			sent := make([]byte, 2000+i)
			_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(sent)
			got, err := exchange(t, client, name(i%authorities), sent)
			if want := append([]byte(name(i%authorities)+"\n"), sent...); err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d to %s: %d bytes, %.60q, %v", i, name(i%authorities), len(got), got, err)
			}
		})
	}
	asked.Wait()
	if n, conns := arrived.Load(), dialled.Load()-before; n != streams || conns != 1 {
		t.Errorf("%d streams arrived over %d connections, want %d over 1", n, conns, streams)
	}
}

// echoing is a workload that answers with its name and what it was sent, once together has returned. It answers at
// once to "ready".
func echoing(t *testing.T, name string, together func(context.Context)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if string(body) != "ready" {
			together(r.Context())
		}
		_, _ = w.Write(append([]byte(name+"\n"), body...))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func exchange(t *testing.T, client *http.Client, svc bgp.Service, sent []byte) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://egress/", bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	req.Host = string(svc)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d", resp.StatusCode)
	}
	return got, err
}
