package peering

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/stream"
)

// A session lasts for months, and the certificates that were shown in its handshake for an hour. Before the first of
// the two has ended, the side that dialled makes a second connection, in whose handshake both sides show what they have
// by now, and says over it which session it means. Each side ends the session when the certificate that the other one
// showed last has ended.
//
// An example: leaves of 60 s, renewed after 30 s. The session begins with two that have 50 s left; after 38 s it is
// proved with others, which have 52 s left then; and so on. No route is announced again.

const (
	// proveMethod takes one message, the name of a session, and ends with its answer (docs/protocol.md).
	proveMethod = "/catalyst.peering.v1.Peering/Prove"
	// sessionLabel has TLS derive a session's name, which its two ends alone know (RFC 8446 §7.5, RFC 5705).
	sessionLabel = "EXPORTER-catalyst-peering-session"
	sessionName  = 32 // bytes
	proofAgain   = 500 * time.Millisecond
)

// errNoSession is why a proof came to nothing.
var errNoSession = errors.New("there is no such session") //nolint:gochecknoglobals // a sentinel

// nameOf is what both ends of a stream call it; nil where there is no TLS.
func nameOf(state tls.ConnectionState) []byte {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	name, err := state.ExportKeyingMaterial(sessionLabel, nil, sessionName)
	if err != nil {
		return nil
	}
	return name
}

// showing has a configuration note when the certificate ends that it shows.
func showing(cfg *tls.Config) (*tls.Config, func() time.Time) {
	var until time.Time
	choose := cfg.GetClientCertificate
	if choose == nil {
		return cfg, func() time.Time { return until }
	}
	cfg = cfg.Clone()
	cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c, err := choose(info)
		if err == nil && len(c.Certificate) > 0 {
			if leaf, err := x509.ParseCertificate(c.Certificate[0]); err == nil {
				until = leaf.NotAfter
			}
		}
		return c, err
	}
	return cfg, func() time.Time { return until }
}

// shows takes what the other side has shown anew, unless it is refused.
func (r *Router) shows(c *conn, chain []*x509.Certificate) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if err := r.refuse(chain[0]); err != nil {
			return err
		}
	}
	c.shown = chain
	poke(c.proved)
	return nil
}

// shownUntil is when the certificate ends that the other side showed last.
func (r *Router) shownUntil(c *conn) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.shown[0].NotAfter
}

// vouch ends a session with the certificate that the other side showed last, and has new ones shown before, if this
// side dialled; until ctx ends.
func (r *Router) vouch(ctx context.Context, c *conn, dialled *dialled) {
	failed := false
	for {
		until := r.shownUntil(c)
		left := time.Until(until)
		wait, prove := left, false
		if dialled != nil {
			first := left
			if own := time.Until(dialled.own); !dialled.own.IsZero() && own < left {
				first = own
			}
			share := first / 4 * 3
			if failed {
				share = first / 4
			}
			if share = max(share, proofAgain); share < left {
				wait, prove = share, true
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.proved:
			timer.Stop()
			continue
		case <-timer.C:
		}
		if !prove {
			r.lapse(ctx, c)
			return
		}
		err := r.prove(ctx, c, dialled)
		if failed = err != nil; failed && ctx.Err() == nil {
			r.cfg.Log.Debug("a session could not be proved with new certificates", "peer", c.remote.String(), "until", until,
				"err", err)
		}
	}
}

// lapse ends a session whose other side showed no certificate that is still good.
func (r *Router) lapse(ctx context.Context, c *conn) {
	r.cfg.Log.Warn("a session ends: the certificate that its other side showed has ended, and it has shown no other",
		"peer", c.remote.String())
	// An error says that there is no session any more, or that the router is stopping.
	_ = r.Do(ctx, speaker.PeerReset{Node: c.remote, Text: "the certificate has ended"})
}

// dialled is what a side that dialled knows of the session.
type dialled struct {
	address string
	own     time.Time // when the certificate ends that this side showed last; zero if it is not known
}

// prove has both sides of a session show their certificates anew.
func (r *Router) prove(ctx context.Context, c *conn, d *dialled) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	identity, own := showing(r.cfg.Identity.ClientTLS(c.remote))
	cfg := transport(identity)
	cfg.Method, cfg.Others = proveMethod, nil
	s, err := stream.Dial(ctx, d.address, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)()
	if err := s.Send(c.name); err != nil {
		return err
	}
	if _, err := s.Receive(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s does not take it: %w", c.remote, err)
	}
	if err := r.shows(c, s.TLS().PeerCertificates); err != nil {
		return err
	}
	d.own = own()
	return nil
}

// proven takes the proof of a session that a peer dialled.
func (r *Router) proven(ctx context.Context, s *stream.Stream, node bgp.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)()
	name, err := s.Receive()
	if err != nil {
		return
	}
	if err := r.provenTo(name, s.TLS().PeerCertificates, node); err != nil {
		s.End(codes.NotFound, err.Error())
	} else {
		s.End(codes.OK, "")
	}
	_, _ = s.Receive() // until the peer has it and closes
}

// provenTo finds the session that is meant, and takes what its other side has shown.
func (r *Router) provenTo(name []byte, chain []*x509.Certificate, node bgp.NodeID) error {
	r.mu.Lock()
	var meant *conn
	for _, c := range r.conns {
		if c.remote == node && len(c.name) > 0 && subtle.ConstantTimeCompare(c.name, name) == 1 {
			meant = c
		}
	}
	r.mu.Unlock()
	if meant == nil {
		return errNoSession
	}
	return r.shows(meant, chain)
}
