package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
)

// certificate makes a CA's root and a certificate of it, as files.
func certificate(t *testing.T, name string) (root, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), "acme.example"); err != nil {
		t.Fatal(err)
	}
	a, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, name)
	if _, _, err := disk.IssueNode(a, at, name, time.Hour); err != nil {
		t.Fatal(err)
	}
	var files [3]string
	for i, pattern := range []string{"*.bundle.pem", "svid.pem", "key.pem"} {
		found, err := filepath.Glob(filepath.Join(at, pattern))
		if err != nil || len(found) == 0 {
			entries, _ := os.ReadDir(at)
			t.Fatalf("no %s in %v", pattern, entries)
		}
		files[i] = found[0]
	}
	return files[0], files[1], files[2]
}

func serve(t *testing.T, secure TLS) (url string) {
	t.Helper()
	l, err := On(t.Context(), "tcp", "127.0.0.1:0", "admin")
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := secure.Wrap(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	go func() { done <- Serve(ctx, wrapped, hello) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "https://" + l.Addr().String()
}

// get asks as a client that has a certificate, or none; it does not look at the server's.
func get(t *testing.T, url string, own ...tls.Certificate) (string, error) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // who the server is does not matter here
		Certificates:       own,
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(url) //nolint:noctx // a test
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestOnlyClientsOfTheAuthorityAreLetIn(t *testing.T) {
	_, cert, key := certificate(t, "server")
	root, clientCert, clientKey := certificate(t, "client")
	_, otherCert, otherKey := certificate(t, "other")
	url := serve(t, TLS{Cert: cert, Key: key, ClientCA: root, Field: "admin-tls-cert"})
	load := func(cert, key string) tls.Certificate {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	if body, err := get(t, url, load(clientCert, clientKey)); err != nil || body != "hello" {
		t.Errorf("a client of the authority: %q, %v", body, err)
	}
	if body, err := get(t, url); err == nil {
		t.Errorf("a client without certificate is answered %q", body)
	}
	if body, err := get(t, url, load(otherCert, otherKey)); err == nil {
		t.Errorf("a client of another authority is answered %q", body)
	}
	open := serve(t, TLS{Cert: cert, Key: key})
	if body, err := get(t, open); err != nil || body != "hello" {
		t.Errorf("without an authority everybody is let in: %q, %v", body, err)
	}
}

func TestARenewedCertificateIsShown(t *testing.T) {
	_, cert, key := certificate(t, "first")
	_, newCert, newKey := certificate(t, "second")
	c := &certificates{TLS: TLS{Cert: cert, Key: key}}
	before, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{newCert: cert, newKey: key} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
		future := time.Now().Add(time.Minute) // another time than before, whatever the file system's clock
		if err := os.Chtimes(to, future, future); err != nil {
			t.Fatal(err)
		}
	}
	c.looked = time.Time{} // it is time to look again
	after, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	if leaf(t, before).Equal(leaf(t, after)) {
		t.Error("the former certificate is shown")
	}
}

func leaf(t *testing.T, c *tls.Certificate) *x509.Certificate {
	t.Helper()
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAMissingFileIsNamed(t *testing.T) {
	_, cert, key := certificate(t, "server")
	for _, c := range []struct {
		tls  TLS
		want string
	}{
		{TLS{Cert: "nowhere.pem", Key: key, Field: "admin-tls-cert"}, "admin-tls-cert"},
		{TLS{Cert: cert, Key: key, ClientCA: "nowhere.pem"}, "nowhere.pem"},
		{TLS{Cert: cert, Key: key, ClientCA: key}, "no certificate in it"},
	} {
		if _, err := c.tls.Wrap(nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q in it", err, c.want)
		}
	}
}
