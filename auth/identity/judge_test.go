package identity

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/forged"
	"github.com/catalyst-router/catalyst/bgp"
)

func forge(t *testing.T, a *ca.Authority, uris []string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	cert, err := forged.Certificate(a, uris, change)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// shake has a client show a certificate to a server and returns what the server says, or its own complaint if client
// is set.
func shake(t *testing.T, server, client *tls.Config) (atServer, atClient error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() { done <- dialAndRead(l.Addr().String(), client) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	s := tls.Server(conn, server)
	atServer = s.Handshake()
	if atServer == nil {
		_, _ = s.Write([]byte{1})
	}
	_ = s.Close()
	return atServer, <-done
}

func dialAndRead(address string, cfg *tls.Config) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Read(make([]byte, 1))
	return err
}

const nodeA, nodeB = "spiffe://acme.example/node/a", "spiffe://acme.example/node/b"

// bad are certificates that the organisation's own CA signed and that nobody may be known by.
func bad() map[string]struct {
	uris   []string
	change func(*x509.Certificate)
	want   string
} {
	same := func(*x509.Certificate) {}
	long := "spiffe://acme.example/node/" + strings.Repeat("a", 2048)
	return map[string]struct {
		uris   []string
		change func(*x509.Certificate)
		want   string
	}{
		"two URIs":               {[]string{nodeB, nodeA}, same, "URI"},
		"the same URI twice":     {[]string{nodeB, nodeB}, same, "URI"},
		"no URI":                 {nil, same, "URI"},
		"dot segments":           {[]string{"spiffe://acme.example/envoy/../node/b"}, same, ""},
		"a dot segment":          {[]string{"spiffe://acme.example/node/./b"}, same, ""},
		"an empty segment":       {[]string{"spiffe://acme.example/node//b"}, same, ""},
		"a trailing slash":       {[]string{nodeB + "/"}, same, ""},
		"a query":                {[]string{nodeB + "?x=1"}, same, ""},
		"an empty query":         {[]string{nodeB + "?"}, same, ""},
		"a fragment":             {[]string{nodeB + "#x"}, same, ""},
		"an empty fragment":      {[]string{nodeB + "#"}, same, ""},
		"percent encoding":       {[]string{"spiffe://acme.example/node/%62"}, same, ""},
		"capitals in the name":   {[]string{"spiffe://acme.example/node/B"}, same, ""},
		"capitals in the scheme": {[]string{"SPIFFE://acme.example/node/b"}, same, ""},
		"a user":                 {[]string{"spiffe://x@acme.example/node/b"}, same, ""},
		"a port":                 {[]string{"spiffe://acme.example:1/node/b"}, same, ""},
		"the trust domain alone": {[]string{"spiffe://acme.example"}, same, ""},
		"another scheme":         {[]string{"https://acme.example/node/b"}, same, ""},
		"another kind of path":   {[]string{"spiffe://acme.example/workload/b"}, same, ""},
		"another organisation":   {[]string{"spiffe://bravo.example/node/b"}, same, ""},
		"too long":               {[]string{long}, same, ""},
		"a comma":                {[]string{nodeB + "," + nodeA}, same, ""},
		"a CA":                   {[]string{nodeB}, func(c *x509.Certificate) { c.IsCA = true }, ""},
		"the right to sign":      {[]string{nodeB}, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, ""},
		"no digital signature": {[]string{nodeB}, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement },
			""},
		"for servers alone": {[]string{nodeB}, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, ""},
		"for clients alone": {[]string{nodeB}, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, ""},
		"over": {[]string{nodeB},
			func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }, "expired"},
		"an Envoy's, as a node's": {[]string{"spiffe://acme.example/envoy/b/front"}, same, "node"},
	}
}

// What is no SVID opens neither end of a peering session; a good one does.
func TestOnlyGoodCertificatesPeer(t *testing.T) {
	a, dir := bundle(t)
	src, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := disk.IssueNode(a, filepath.Join(dir, "..", "b"), "b", time.Hour); err != nil {
		t.Fatal(err)
	}
	b, err := Open(filepath.Join(dir, "..", "b"))
	if err != nil {
		t.Fatal(err)
	}
	node := bgp.NodeID{Org: "acme.example", Name: "b"}
	if atServer, atClient := shake(t, src.ServerTLS(), b.ClientTLS(src.Material().Node)); atServer != nil ||
		atClient != nil {
		t.Fatalf("a good certificate: %v, %v", atServer, atClient)
	}
	good := forge(t, a, []string{nodeB}, func(*x509.Certificate) {})
	if err := showTo(t, src, good); err != nil {
		t.Fatalf("a good certificate that is forged: %v", err)
	}
	for name, tt := range bad() {
		t.Run(name, func(t *testing.T) {
			cert := forge(t, a, tt.uris, tt.change)
			if err := showTo(t, src, cert); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("as a client it is taken, or refused for another reason: %v", err)
			}
			_, err := shake(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
				src.ClientTLS(node))
			if err == nil || !strings.Contains(err.Error(), tt.want) && tt.want != "node" {
				t.Errorf("as a server it is taken, or refused for another reason: %v", err)
			}
		})
	}
}

// showTo has a client show a certificate to a node.
func showTo(t *testing.T, src *Source, cert tls.Certificate) error {
	t.Helper()
	atServer, _ := shake(t, src.ServerTLS(), &tls.Config{ //nolint:gosec // the client is the attacker
		Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
	})
	return atServer
}

// An Envoy of a node may stand in for it where traffic arrives, and nowhere else.
func TestAnEnvoyStandsInForItsNodeAtTheIngressAlone(t *testing.T) {
	a, dir := bundle(t)
	src, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	envoy := forge(t, a, []string{"spiffe://acme.example/envoy/b/front"}, func(*x509.Certificate) {})
	server := &tls.Config{Certificates: []tls.Certificate{envoy}, MinVersion: tls.VersionTLS13}
	b, c := bgp.NodeID{Org: "acme.example", Name: "b"}, bgp.NodeID{Org: "acme.example", Name: "c"}
	server.ClientAuth = tls.RequireAnyClientCert
	if _, err := shake(t, server, src.IngressTLS(b)); err != nil {
		t.Errorf("at its own node's ingress: %v", err)
	}
	if _, err := shake(t, server, src.IngressTLS(c)); err == nil {
		t.Error("it is taken for another node's")
	}
	if _, err := shake(t, server, src.ClientTLS(b)); err == nil {
		t.Error("it speaks for its node in peering")
	}
}
