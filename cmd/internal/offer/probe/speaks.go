package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// listenTime is how long a workload may take to say the first words of one protocol.
const listenTime = 500 * time.Millisecond

// Spoken is what a workload speaks, as far as it can be told from its first words.
type Spoken struct {
	// Wrong tells that calls of the service's protocol cannot be answered.
	Wrong bool
	Text  string // what it answered; "" where nothing could be told
	Order string // what to order instead, flags of catalyst route update; "" if nothing is wrong
}

// Speaks finds out whether a workload speaks what the service was ordered with: it is asked OPTIONS * over HTTP/1.1,
// or the beginning of HTTP/2 (RFC 9113 §3.4), and where it does not answer that, TLS and the other of the two. A TCP
// service is not asked unless it speaks TLS. An error is one of TLS, where the service was ordered with that.
func (a Asker) Speaks(ctx context.Context, t Target) (Spoken, error) {
	if t.TLS.On() {
		conn, err := a.dial(ctx, &t)
		if err != nil {
			return Spoken{}, err
		}
		defer func() { _ = conn.Close() }()
		secured, _ := conn.(*tls.Conn)
		state := secured.ConnectionState()
		return Spoken{Text: fmt.Sprintf("%s, certificate of %s until %s", tls.VersionName(state.Version), namesOf(&state),
			state.PeerCertificates[0].NotAfter.UTC().Format(time.DateTime))}, nil
	}
	switch t.Protocol {
	case bgp.HTTP, bgp.GraphQL:
		return t.clear(ctx, http1(), http2(), "-p https", "-p grpc (or http2)", "-p grpcs (or -p http2 --tls)"), nil
	case bgp.HTTP2, bgp.GRPC:
		return t.clear(ctx, http2(), http1(), "-p grpcs (or -p http2 --tls)", "-p http", "-p https"), nil
	case bgp.TCP:
	}
	return Spoken{}, nil
}

func namesOf(state *tls.ConnectionState) string {
	leaf := state.PeerCertificates[0]
	if len(leaf.URIs) > 0 {
		return leaf.URIs[0].String()
	}
	if len(leaf.DNSNames) > 0 {
		return strings.Join(leaf.DNSNames[:min(3, len(leaf.DNSNames))], ", ")
	}
	return leaf.Subject.String()
}

// words are the first of a protocol: what is said, and whether the answer is of that protocol.
type words struct {
	name, alpn string
	say        func(t *Target) string
	heard      func(first []byte) bool
}

func http1() words {
	return words{name: "HTTP/1.1", alpn: "http/1.1", say: func(t *Target) string {
		return "OPTIONS * HTTP/1.1\r\nHost: " + string(t.Service) +
			"\r\nUser-Agent: catalyst-trace\r\nConnection: close\r\n\r\n"
	}, heard: func(first []byte) bool { return bytes.HasPrefix(first, []byte("HTTP/1.")) }}
}

// http2 is answered with SETTINGS.
func http2() words {
	return words{name: "HTTP/2", alpn: "h2", say: func(*Target) string {
		return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	}, heard: func(first []byte) bool {
		return len(first) >= 9 && first[0] == 0 && first[3] == 4 && first[4]&^1 == 0
	}}
}

// clear tells what a workload speaks that was ordered without TLS: what it should, the same over TLS, or the other
// protocol. A 400 in clear is no proof of HTTP: a server of TLS may answer so to a request in clear.
func (t *Target) clear(ctx context.Context, should, other words, overTLS, inClear, otherOverTLS string) Spoken {
	first, _ := t.begin(ctx, should, false)
	if should.heard(first) && !bytes.HasSuffix(first, []byte(" 400")) {
		return Spoken{Text: "it speaks " + should.name}
	}
	wrong := func(is, order string) Spoken {
		return Spoken{Wrong: true, Order: order,
			Text: fmt.Sprintf("it speaks %s, the service is ordered as %s without TLS", is, should.name)}
	}
	const known = " with --tls-ca FILE, --tls-id SPIFFE-ID or --tls-insecure"
	secured, hands := t.begin(ctx, should, true)
	if should.heard(secured) {
		return wrong(should.name+" over TLS", overTLS+known)
	}
	otherSecured, otherHands := t.begin(ctx, other, true)
	switch {
	case other.heard(otherSecured):
		return wrong(other.name+" over TLS", otherOverTLS+known)
	case hands || otherHands:
		return wrong("TLS", overTLS+known)
	case should.heard(first):
		return Spoken{Text: "it speaks " + should.name}
	}
	if first, _ := t.begin(ctx, other, false); other.heard(first) {
		return wrong(other.name, inClear)
	}
	return Spoken{}
}

// begin connects, over TLS if secured and whatever certificate is shown, and sends the first words. It returns the
// first bytes of the answer, nil for none, and whether there was a connection (over TLS: a handshake) at all.
func (t *Target) begin(ctx context.Context, w words, secured bool) (first []byte, made bool) {
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	conn, err := Dial(ctx, t.Address, t.Other)
	if err != nil {
		return nil, false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(listenTime))
	if secured {
		c := &tls.Config{ServerName: string(t.Service), NextProtos: []string{w.alpn},
			InsecureSkipVerify: true} //nolint:gosec // nothing of anybody's is said: whether it is TLS is what matters
		over := tls.Client(conn, c)
		if over.HandshakeContext(ctx) != nil {
			return nil, false
		}
		conn = over
	}
	if _, err := io.WriteString(conn, w.say(t)); err != nil {
		return nil, true
	}
	first = make([]byte, 12)
	n, _ := io.ReadFull(conn, first)
	return first[:n], true
}
