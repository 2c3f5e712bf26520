package probe

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/catalyst-router/catalyst/bgp"
)

// secured starts a server of HTTP over TLS, with HTTP/2 or without, and returns where it is and its certificate, PEM.
func secured(t *testing.T, http2 bool) (at, ca string, cert tls.Certificate) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.EnableHTTP2, s.Config.ErrorLog = http2, log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: s.Certificate().Raw})), s.TLS.Certificates[0]
}

// A workload that speaks TLS is checked over TLS, and is down when its certificate is not what the operator said.
func TestAskOverTLS(t *testing.T) {
	one, ca, _ := secured(t, false)
	two, _, _ := secured(t, true)
	check := Check{Kind: HTTP, Argument: "/"}
	for _, tt := range []struct {
		protocol bgp.Protocol
		address  string
		tls      TLS
		want     string
	}{
		{bgp.HTTP, one, TLS{CA: ca, Name: "127.0.0.1"}, ""},
		{bgp.HTTP, one, TLS{CA: ca, Name: "example.com"}, ""},
		{bgp.HTTP, one, TLS{Insecure: true}, ""},
		{bgp.HTTP2, two, TLS{CA: ca, Name: "example.com"}, ""},
		{bgp.HTTP, one, TLS{CA: ca, Name: "books.internal"}, "TLS: "},
		{bgp.HTTP, one, TLS{}, "400 Bad Request"},
		{bgp.HTTP2, one, TLS{Insecure: true}, "no application protocol"},
		{bgp.HTTP, one, TLS{CA: ca, ID: "spiffe://acme.example/web"}, "no identity"},
	} {
		_, err := Asker{}.Ask(t.Context(), Target{Service: "books.acme.example", Protocol: tt.protocol, Address: tt.address,
			Check: check, TLS: tt.tls})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %+v: got %v, want %q", tt.protocol, tt.tls, err, tt.want)
		}
	}
}

// What a workload speaks is found out where it is not what the service was ordered with, and what to order instead.
func TestSpeaks(t *testing.T) {
	tlsOne, _, cert := secured(t, false)
	tlsTwo, ca, _ := secured(t, true)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	serve := func(opts ...grpc.ServerOption) string {
		l, s := listen(t), grpc.NewServer(opts...)
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
		return l.Addr().String()
	}
	rpc, rpcTLS := serve(), serve(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	mute := listen(t)
	go func() {
		for {
			conn, err := mute.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}()
	for _, tt := range []struct {
		protocol bgp.Protocol
		address  string
		tls      TLS
		wrong    bool
		text     string
		order    string
	}{
		{bgp.HTTP, web.Listener.Addr().String(), TLS{}, false, "it speaks HTTP/1.1", ""},
		{bgp.HTTP, tlsOne, TLS{}, true, "it speaks HTTP/1.1 over TLS", "-p https"},
		{bgp.HTTP, rpc, TLS{}, true, "it speaks HTTP/2, ", "-p grpc"},
		{bgp.HTTP, rpcTLS, TLS{}, true, "it speaks HTTP/2 over TLS", "-p grpcs"},
		{bgp.GRPC, rpc, TLS{}, false, "it speaks HTTP/2", ""},
		{bgp.GRPC, web.Listener.Addr().String(), TLS{}, true, "it speaks HTTP/1.1", "-p http"},
		{bgp.GRPC, tlsTwo, TLS{}, true, "it speaks HTTP/2 over TLS", "-p grpcs"},
		{bgp.HTTP2, rpcTLS, TLS{}, true, "it speaks HTTP/2 over TLS", "-p http2 --tls"},
		{bgp.HTTP, mute.Addr().String(), TLS{}, false, "", ""},
		{bgp.TCP, mute.Addr().String(), TLS{}, false, "", ""},
		{bgp.HTTP, tlsOne, TLS{CA: ca, Name: "example.com"}, false, "TLS 1.3, certificate of example.com", ""},
	} {
		got, err := Asker{}.Speaks(t.Context(), Target{Service: "books.acme.example", Protocol: tt.protocol,
			Address: tt.address, TLS: tt.tls})
		if err != nil || got.Wrong != tt.wrong || !strings.Contains(got.Text, tt.text) ||
			(got.Text == "") != (tt.text == "") || !strings.Contains(got.Order, tt.order) {
			t.Errorf("%s: got %+v, %v; want %q, %q", tt.protocol, got, err, tt.text, tt.order)
		}
	}
	misnamed := Target{Protocol: bgp.HTTP, Address: tlsOne, TLS: TLS{CA: ca, Name: "x"}}
	if _, err := (Asker{}).Speaks(t.Context(), misnamed); err == nil {
		t.Error("a certificate for another name is taken")
	}
}
