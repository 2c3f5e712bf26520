//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// secretEcho is a workload that speaks TLS by a certificate of its own for a name, and answers each line with it.
func secretEcho(t *testing.T, name string) (at string, roots *x509.CertPool) {
	t.Helper()
	authority, dir := newWebAuthority(t), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority.issue(t, 2, name, cert, key)
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintln(c, "heard", lines.Text())
				}
			}()
		}
	}()
	roots = x509.NewCertPool()
	roots.AddCert(authority.cert)
	return l.Addr().String(), roots
}

// speaks makes a TLS connection for a server name to an address, and says a line over it.
func speaks(at, name string, roots *x509.CertPool) (*tls.Conn, error) {
	d := &net.Dialer{Timeout: 8 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", at, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	if err = hears(c); err != nil {
		_ = c.Close()
	}
	return c, err
}

func hears(c *tls.Conn) error {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintln(c, "the plan"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "heard the plan\n" {
		err = fmt.Errorf("it answers %q", line)
	}
	return err
}

// TLS from end to end, over three organisations and by the server name alone: the client believes the workload's own
// certificate, so no border has opened the connection. The border in between decides about it all the same, at each
// new one and for those that are there; names that no TCP service has, and what is no TLS, lead nowhere.
func TestTLSPassesBordersUnopened(t *testing.T) {
	t.Parallel()
	ctx, port := t.Context(), free(t)
	a := organisation(t, "acme.example", "a")
	d := organisation(t, "delta.example", "d")
	x := organisation(t, "bravo.example", "x", "--envoy-tls", port)
	const vault = "vault.acme.example"
	at, roots := secretEcho(t, vault)
	_, err := a.CLI(ctx, "route", "add", "vault", "-p", "tcp", "--addr", at)
	must(t, err)
	offer(t, a, "books", "one")
	peered(t, a, d, "delta.example", []string{"--export", "vault,books"}, nil)
	peered(t, d, x, "bravo.example", []string{"--export", vault + ",books.acme.example"},
		[]string{"--import", "*.acme.example"})
	var held *tls.Conn
	must(t, lab.Eventually(ctx, "the vault answers by its name", func(context.Context) (err error) {
		held, err = speaks(port, vault, roots)
		return err
	}))
	defer func() { _ = held.Close() }()
	log, err := os.ReadFile(filepath.Join(d.Dir, "access.log"))
	if err != nil || strings.Contains(string(log), "the plan") {
		t.Errorf("the border has read it: %v", err)
	}
	for _, name := range []string{"none.acme.example", "books.acme.example", ""} {
		if c, err := speaks(port, name, roots); err == nil {
			_ = c.Close()
			t.Errorf("the server name %q leads somewhere", name)
		}
	}
	plain, err := net.DialTimeout("tcp", port, 5*time.Second)
	must(t, err)
	defer func() { _ = plain.Close() }()
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(plain, "GET / HTTP/1.1\r\nHost: "+vault+"\r\n\r\n")
	if n, err := plain.Read(make([]byte, 1)); err == nil {
		t.Errorf("what is no TLS is answered %d bytes", n)
	}

	_, err = d.CLI(ctx, "peering", "update", "bravo.example", "--export", "books.acme.example")
	must(t, err)
	must(t, lab.Eventually(ctx, "a new connection leads nowhere", func(context.Context) error {
		c, err := speaks(port, vault, roots)
		if err == nil {
			_ = c.Close()
			return fmt.Errorf("it is answered")
		}
		return nil
	}))
	must(t, lab.Eventually(ctx, "the one that was there has ended", func(context.Context) error {
		if err := hears(held); err == nil {
			return fmt.Errorf("it goes on")
		}
		return nil
	}))
}
