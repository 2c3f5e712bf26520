package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// TLS is how a listener proves itself, and whom it lets in.
type TLS struct {
	Cert, Key string // PEM files of a certificate chain and its key; they are read again when they change
	// ClientCA is a PEM file: only clients with a certificate of its authorities are let in. "" lets everybody in.
	ClientCA string
	// Field is the configuration's field that names Cert, for errors.
	Field string
}

// Wrap makes a TLS listener of a plain one, for HTTP/2 and HTTP/1.1. Adapt, which may be nil, has the last word.
func (t TLS) Wrap(l net.Listener, adapt func(*tls.Config)) (net.Listener, error) {
	certs := &certificates{TLS: t}
	if _, err := certs.get(nil); err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certs.get}
	if t.ClientCA != "" {
		pem, err := os.ReadFile(t.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("read the authorities of clients: %w", err)
		}
		if cfg.ClientCAs = x509.NewCertPool(); !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(t.ClientCA + ": no certificate in it")
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if adapt != nil {
		adapt(cfg)
	}
	return tls.NewListener(l, cfg), nil
}

// certificates reads a certificate anew when its files have changed, so that a renewal needs no restart.
type certificates struct {
	TLS

	mu      sync.Mutex
	loaded  *tls.Certificate // guarded by mu
	looked  time.Time        // guarded by mu
	changed [2]time.Time     // of the files, when they were loaded; guarded by mu
}

// lookEvery is how often the files are looked at.
const lookEvery = 2 * time.Second

// get returns the certificate; a pair that cannot be read leaves the former one.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && time.Since(c.looked) < lookEvery {
		return c.loaded, nil
	}
	c.looked = time.Now()
	changed := [2]time.Time{modified(c.Cert), modified(c.Key)}
	if c.loaded != nil && changed == c.changed {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		if c.loaded != nil {
			return c.loaded, nil
		}
		return nil, fmt.Errorf("%s: %w", c.Field, err)
	}
	c.loaded, c.changed = &pair, changed
	return c.loaded, nil
}

func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
