package ads_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// secured is a workload of HTTP over TLS that says who called it; it returns its certificate, PEM.
func secured(t *testing.T, http2 bool, change func(*tls.Config)) (at, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s over %s", r.Proto, tls.VersionName(r.TLS.Version))
		for _, c := range r.TLS.PeerCertificates {
			fmt.Fprint(w, " from ", c.URIs)
		}
	}))
	s.EnableHTTP2, s.Config.ErrorLog, s.TLS = http2, log.New(io.Discard, "", 0), &tls.Config{MinVersion: tls.VersionTLS12}
	change(s.TLS)
	s.StartTLS()
	t.Cleanup(s.Close)
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	return s.Listener.Addr().String(), string(pem.EncodeToMemory(block))
}

// A workload that speaks TLS is reached over TLS, and only if its certificate is what the operator said: by its CA and
// name, or by its SPIFFE id, in which case it sees who the node is.
func TestWorkloadsOverTLS(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	a.server.Open()
	web, ca := secured(t, false, func(*tls.Config) {})
	member := func(c *tls.Config) {
		dir := filepath.Join(org.dir, "stock")
		if _, _, err := disk.IssueNode(org.Authority, dir, "stock", time.Hour); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "svid.pem"), filepath.Join(dir, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates, c.ClientAuth = []tls.Certificate{pair}, tls.RequireAnyClientCert
	}
	stock, _ := secured(t, true, member)
	lines := tlsLines(t)
	const tcp = bgp.Service("lines.acme.example")
	with := func(svc string, p bgp.Protocol, at string, known xds.WorkloadTLS) xds.Forwarding {
		f := to(bgp.Service(svc+".acme.example"), p, []xds.Target{backend(at)})
		f.TLS = &known
		return f
	}
	a.apply(with("named", bgp.HTTP, web, xds.WorkloadTLS{CA: ca, Name: "example.com"}),
		with("at", bgp.HTTP, web, xds.WorkloadTLS{CA: ca, Name: "127.0.0.1"}),
		with("anybody", bgp.HTTP, web, xds.WorkloadTLS{Insecure: true}),
		with("misnamed", bgp.HTTP, web, xds.WorkloadTLS{CA: ca, Name: "web.internal"}),
		with("member", bgp.HTTP2, stock, xds.WorkloadTLS{ID: "spiffe://acme.example/node/stock", Name: "stock"}),
		with("another", bgp.HTTP2, stock, xds.WorkloadTLS{ID: "spiffe://acme.example/node/other", Name: "stock"}),
		with("stranger", bgp.HTTP2, stock, xds.WorkloadTLS{CA: ca, Name: "stock"}),
		with("lines", bgp.TCP, lines, xds.WorkloadTLS{CA: ca, Name: "example.com"}))
	for svc, want := range map[string]string{
		"named": "HTTP/1.1 over TLS 1.3", "at": "HTTP/1.1 over TLS 1.3", "anybody": "HTTP/1.1 over TLS 1.3",
		"member": "HTTP/2.0 over TLS 1.3 from [spiffe://acme.example/node/a]",
	} {
		a.eventually(bgp.Service(svc+".acme.example"), 200, want)
	}
	for _, svc := range []bgp.Service{"misnamed", "another", "stranger"} {
		a.eventually(svc+".acme.example", 503, "")
	}
	conn, r := dialTCP(t, a, tcp)
	defer func() { _ = conn.Close() }()
	if got, err := say(conn, r, "once more"); err != nil || got != "tls: once more\n" {
		t.Errorf("TCP: %q, %v", got, err)
	}
}

// tlsLines answers lines over TLS, with the certificate of net/http/httptest.
func tlsLines(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	pairs := s.TLS.Certificates
	s.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: pairs, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintf(conn, "tls: %s\n", lines.Text())
				}
			}()
		}
	}()
	return l.Addr().String()
}

// The time that a connection is kept without a request is the service's: one is closed within it, and that of another
// service, of the same node and Envoy, is still there long after.
func TestIdleTimeIsTheServices(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	a.server.Open()
	counted := func(two bool) (string, *atomic.Int64) {
		open := new(atomic.Int64)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: says("here"), ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols),
			ConnState: func(_ net.Conn, s http.ConnState) {
				open.Add(map[http.ConnState]int64{http.StateNew: 1, http.StateClosed: -1}[s])
			}}
		srv.Protocols.SetHTTP1(!two)
		srv.Protocols.SetUnencryptedHTTP2(two)
		go func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}()
		t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
		return l.Addr().String(), open
	}
	service := func(name bgp.Service, p bgp.Protocol, idle time.Duration) *atomic.Int64 {
		at, open := counted(p == bgp.HTTP2)
		f := to(name+".acme.example", p, []xds.Target{backend(at)})
		f.Idle = idle
		a.apply(f)
		return open
	}
	short, long := service("short", bgp.HTTP, 300*time.Millisecond), service("long", bgp.HTTP, time.Minute)
	shortTwo := service("short-two", bgp.HTTP2, 300*time.Millisecond)
	longTwo := service("long-two", bgp.HTTP2, time.Minute)
	for _, name := range []bgp.Service{"short", "long", "short-two", "long-two"} {
		a.eventually(name+".acme.example", 200, "here")
	}
	waitFor(t, "those of the short time are closed", func() bool { return short.Load() == 0 && shortTwo.Load() == 0 })
	if long.Load() == 0 || longTwo.Load() == 0 {
		t.Errorf("those of the long time: %d of HTTP/1, %d of HTTP/2, want them open", long.Load(), longTwo.Load())
	}
}
