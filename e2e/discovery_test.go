//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// webAuthority is an authority of the web in a test, with the file of its root.
type webAuthority struct {
	root string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newWebAuthority(t *testing.T) *webAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	w := &webAuthority{root: filepath.Join(t.TempDir(), "web.pem"), key: key}
	der, err := x509.CreateCertificate(rand.Reader, w.template(1), w.template(1), key.Public(), key)
	must(t, err)
	w.cert, err = x509.ParseCertificate(der)
	must(t, err)
	writePEM(t, w.root, "CERTIFICATE", der)
	return w
}

func (w *webAuthority) template(serial int64, names ...string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: len(names) == 0, BasicConstraintsValid: true,
	}
}

// issue writes a certificate for a name, and for loopback, and its key.
func (w *webAuthority) issue(t *testing.T, serial int64, name, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, w.template(serial, name), w.cert, key.Public(), w.key)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	writePEM(t, keyFile, "PRIVATE KEY", pkcs8)
	writePEM(t, certFile, "CERTIFICATE", der)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// One organisation serves its bundle as a server of the web, by a certificate that is renewed while it runs, and says
// so by SPIFFE Discovery. To another's operator that is a proposal: only his yes makes anything of it, and nothing
// that it makes is a session. A partner whose endpoint is down is configured without a bundle, and blocks nothing.
func TestDiscoveryIsAProposal(t *testing.T) {
	t.Parallel()
	web, dir := newWebAuthority(t), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	web.issue(t, 2, "bravo.example", cert, key)
	at := free(t)
	x := organisation(t, "bravo.example", "x", "--envoy-enabled=false", "--bundle-endpoint-listen", at,
		"--bundle-endpoint-tls-cert", cert, "--bundle-endpoint-tls-key", key,
		"--bundle-endpoint-url", "https://"+at+"/bundle")
	acme, err := lab.New(t.Context(), binary(t), "acme.example")
	must(t, err)
	t.Cleanup(func() { must(t, acme.Close()) })
	acme.Env = []string{"SSL_CERT_FILE=" + web.root, "SSL_CERT_DIR=" + t.TempDir()}
	a, err := acme.Add(t.Context(), "a", "--envoy-enabled=false")
	must(t, err)

	ctx := t.Context()
	out, err := a.CLI(ctx, "peering", "discover", "bravo.example", "--at", at, "--dry-run")
	if err != nil || !strings.Contains(out, "https://"+at+"/bundle (https_web)") || !strings.Contains(out, "SHA-256") {
		t.Fatalf("%v:\n%s", err, out)
	}
	if _, err := a.CLI(ctx, "peering", "discover", "bravo.example", "--at", at); err == nil ||
		!strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("kept without a yes: %v", err)
	}
	if out, err := a.CLI(ctx, "peering", "list", "-o", "json"); err != nil || strings.Contains(out, "bravo") {
		t.Errorf("a proposal became a peering: %v %s", err, out)
	}
	_, err = a.CLI(ctx, "peering", "discover", "bravo.example", "--at", at, "--yes")
	must(t, err)
	var p, own peeringView
	must(t, a.JSON(ctx, &p, "peering", "show", "bravo.example"))
	bundle, err := x.CLI(ctx, "peering", "bundle")
	must(t, err)
	if p.Trust.State != "held" || len(p.Trust.Pins) != 1 || !strings.Contains(bundle, p.Trust.Sequence) ||
		len(p.Nodes) != 0 {
		t.Errorf("kept: %+v", p)
	}
	if out, err := a.CLI(ctx, "peer", "list", "-o", "json"); err != nil || strings.Contains(out, "bravo") {
		t.Errorf("it peers with whom it only trusts: %v %s", err, out)
	}

	web.issue(t, 3, "bravo.example", cert, key)
	must(t, lab.Eventually(ctx, "the renewed certificate is shown", func(context.Context) error {
		conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is looked at below
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if n := conn.ConnectionState().PeerCertificates[0].SerialNumber; n.Int64() != 3 {
			return fmt.Errorf("serial number %s", n)
		}
		return nil
	}))

	down := filepath.Join(dir, "down.yaml")
	must(t, os.WriteFile(down, []byte(`{"label": "partners", "peerings": [{"organisation": "delta.example", "bundleEndpoint":
		{"url": "https://127.0.0.1:1/bundle", "profile": "https_web"}}]}`), 0o600))
	_, err = a.CLI(ctx, "apply", "-f", down)
	must(t, err)
	must(t, lab.Eventually(ctx, "delta.example is configured, without a bundle", func(ctx context.Context) error {
		var p peeringView
		if err := a.JSON(ctx, &p, "peering", "show", "delta.example"); err != nil {
			return err
		}
		kinds := map[string]bool{}
		for _, f := range p.Faults {
			kinds[f.Kind] = true
		}
		if p.Trust.State != "none" || !kinds["no-bundle"] || !kinds["endpoint-down"] {
			return fmt.Errorf("%+v", p)
		}
		return nil
	}))
	must(t, a.JSON(ctx, &own, "peering", "show", "bravo.example"))
	if own.Trust.State != "held" {
		t.Errorf("one endpoint that is down touches another organisation: %+v", own)
	}
}
