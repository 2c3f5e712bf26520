package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
)

// client is a caller with a certificate, tokens that are bound to it, and what it asks.
type client struct {
	tls      *tls.Config
	requests [][]byte // by token
	denied   []byte   // what no policy permits
}

const tokensEach = 4

// newClients makes an authority and the callers, and writes what Envoy needs to know them.
func newClients(dir string, signer *token.Signer) ([]*client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	issue := func(id string) (tls.Certificate, error) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		uri, err := url.Parse(id)
		if err != nil {
			return tls.Certificate{}, err
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), URIs: []*url.URL{uri},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &own.PublicKey, key)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}, err
	}
	node, err := issue("spiffe://acme.example/node/bench")
	if err != nil {
		return nil, err
	}
	if err := write(dir, raw, node); err != nil {
		return nil, err
	}
	var clients []*client
	for i := range conns {
		cert, err := issue(fmt.Sprintf("spiffe://bravo.example/node/n%d", i))
		if err != nil {
			return nil, err
		}
		c, err := newClient(i, cert, signer)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func newClient(i int, cert tls.Certificate, signer *token.Signer) (*client, error) {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, err
	}
	c := &client{tls: &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}} //nolint:gosec // a bench
	for j := range tokensEach {
		// Of 10 grants there are some for each of the first 10 subjects; a caller beyond asks as one of those.
		subject := (i + j*conns) % subjects
		if i+j*conns >= 10 {
			subject = i % 10
		}
		now := time.Now()
		raw, err := signer.Sign(&token.Claims{ID: fmt.Sprintf("t%d-%d", i, j), Issuer: issuer, Subject: subjectName(subject),
			Audience: []string{audience}, IssuedAt: now, Expires: now.Add(time.Hour), Principal: token.User,
			Entity: token.Entity{ID: subjectName(subject), Name: subjectName(subject), Type: "user",
				TrustedDomains: []string{"bravo.example"}},
			Bound: token.ThumbprintOf(leaf)})
		if err != nil {
			return nil, err
		}
		text := func(path string) []byte {
			return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path,
				serviceName(subject%conns), raw)
		}
		c.requests = append(c.requests, text(fmt.Sprintf("/s%d/shelf/1?q=2", subject%conns)))
		c.denied = text(fmt.Sprintf("/s%d/cellar", subject%conns))
	}
	return c, nil
}

func write(dir string, ca []byte, node tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(node.PrivateKey)
	if err != nil {
		return err
	}
	for name, b := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: ca}, "node.pem": {Type: "CERTIFICATE", Bytes: node.Certificate[0]},
		"node.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// conn is a connection of a caller.
type conn struct {
	*tls.Conn
	r *bufio.Reader
}

func (s *server) dial(c *client) (*conn, error) {
	raw, err := tls.Dial("tcp", s.address, c.tls)
	if err != nil {
		return nil, err
	}
	return &conn{raw, bufio.NewReader(raw)}, nil
}

// ask sends a request and reads the answer, whose body is thrown away.
func (c *conn) ask(request []byte) (status int, err error) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case first:
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(line) <= 2:
			_, err = c.r.Discard(length)
			return status, err
		case bytes.HasPrefix(line, []byte("content-length: ")):
			length, _ = strconv.Atoi(string(bytes.TrimSpace(line[16:])))
		}
	}
}

// check waits until a kind answers, and sees that it permits and denies what it has to.
func (s *server) check(ctx context.Context, clients []*client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		status, err := s.once(clients[0], clients[0].requests[0])
		if err == nil && status == http.StatusOK {
			break
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("it does not serve: status %d, %w", status, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	want := http.StatusForbidden
	if _, yes := said(s.kind); yes || s.kind == "none" {
		want = http.StatusOK
	}
	for _, c := range clients {
		for _, request := range c.requests { // each token is verified once before the clock runs
			if status, err := s.once(c, request); err != nil || status != http.StatusOK {
				return fmt.Errorf("what a policy permits: status %d, %w", status, err)
			}
		}
		if status, err := s.once(c, c.denied); err != nil || status != want {
			return fmt.Errorf("what no policy permits: status %d, %w: want %d", status, err, want)
		}
	}
	return nil
}

func (s *server) once(c *client, request []byte) (int, error) {
	conn, err := s.dial(c)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ask(request)
}

// measure runs a closed loop on each connection for a while; any answer but 200 ends it.
func (s *server) measure(clients []*client, period time.Duration) error {
	var mu sync.Mutex
	var errs error
	var wg sync.WaitGroup
	calls := 0
	var open []*conn
	for _, c := range clients {
		conn, err := s.dial(c)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		open = append(open, conn)
	}
	before, beforeEnvoy := cpuOf(s.pid), cpuOf(s.envoy)
	began := time.Now()
	for i, conn := range open {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for n := 0; err == nil && time.Since(began) < period; n++ {
				at := time.Now()
				var status int
				if status, err = conn.ask(clients[i].requests[n%tokensEach]); err == nil && status != http.StatusOK {
					err = fmt.Errorf("status %d", status)
				}
				own = append(own, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			s.took, errs, calls = append(s.took, own...), errors.Join(errs, err), calls+len(own)
		})
	}
	wg.Wait()
	s.rates = append(s.rates, float64(calls)/time.Since(began).Seconds())
	s.cpu = append(s.cpu, microseconds(cpuOf(s.pid)-before)/float64(calls))
	s.cpuEnvoy = append(s.cpuEnvoy, microseconds(cpuOf(s.envoy)-beforeEnvoy)/float64(calls))
	return errs
}

// cpuOf is what a process has used, by its threads' own counts, which are finer than ticks.
func cpuOf(pid int) (used time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // its only error is a wrong pattern
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		ran, _, _ := strings.Cut(string(text), " ")
		ns, _ := strconv.ParseInt(ran, 10, 64)
		used += time.Duration(ns)
	}
	return used
}
