//go:build e2e

package leaves

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// sim is a node in this process: it joins, renews, holds a session with a real node and calls through that one's mesh
// ingress, as its Envoy would.
type sim struct {
	w      *world
	id     bgp.NodeID
	at     *lab.Node
	member *member.Member
	src    *identity.Source
	router *peering.Router
	client *http.Client

	calling                 sync.Mutex // held while it calls, and while its certificate is revoked
	mu                      sync.Mutex
	renewals, ended, wanted int // guarded by mu, as below, while the network lives
	why                     string
	former, newest          *x509.Certificate // leaves; former is nil before a renewal
}

// simulate has a node join and peer.
func (w *world) simulate(name string, at *lab.Node) *sim {
	t, ctx := w.t, w.t.Context()
	dir := filepath.Join(w.Dir, name)
	text, err := w.OrgCLI(ctx, "org", "join-token", "--node", name)
	must(t, err)
	token, err := join.ParseToken(text)
	must(t, err)
	must(t, member.Enrol(ctx, member.Request{Token: token, Dir: dir}))
	s := &sim{w: w, id: bgp.NodeID{Org: org, Name: name}, at: at}
	log := slog.New(slog.DiscardHandler)
	s.member, err = member.Open(disk.Vault{Dir: dir}, log)
	must(t, err)
	s.src, err = identity.Open(dir)
	must(t, err)
	s.router = peering.New(peering.Config{
		Speaker: speaker.Config{Self: s.id, BootID: 1, Ingress: "127.0.0.1:1", GracefulRestart: 10 * time.Second,
			DialMin: 50 * time.Millisecond, DialMax: time.Second},
		Identity: s.src, Log: log,
	})
	s.keep()
	//nolint:staticcheck // what takes its place speaks HTTP/2 over a *tls.Conn alone, and this one says when it is closed
	s.client = &http.Client{Transport: &http2.Transport{DialTLSContext: s.dial}}
	run, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = s.router.Run(run, nil) })
	all.Go(func() { _ = s.member.Run(run) })
	all.Go(func() { s.show(run) })
	t.Cleanup(func() { stop(); all.Wait(); s.client.CloseIdleConnections() })
	_, err = at.CLI(ctx, "peer", "add", name)
	must(t, err)
	must(t, s.router.Do(ctx, speaker.PeerSet{Peer: speaker.Peer{Node: node(at), Addresses: []string{at.Peering}}}))
	must(t, s.router.Do(ctx, speaker.LocalSet{Service: bgp.Service("of-" + name + "." + org),
		Attributes: bgp.Attributes{Protocol: bgp.HTTP}}))
	must(t, lab.Eventually(ctx, "the session of "+name, func(ctx context.Context) error { return s.established(ctx) }))
	return s
}

type down string

func (d down) Error() string { return string(d) }

func (s *sim) established(ctx context.Context) error {
	state := fsm.Idle
	if err := s.router.Query(ctx, func(sp *speaker.Speaker) {
		if v, ok := sp.Peer(node(s.at)); ok {
			state = v.State
		}
	}); err != nil {
		return err
	}
	if state != fsm.Established {
		return down(state.String())
	}
	return nil
}

// show uses each new certificate.
func (s *sim) show(ctx context.Context) {
	for {
		changed := s.member.Changed()
		if did, err := s.src.Reload(); err == nil && did {
			s.mu.Lock()
			s.renewals++
			s.mu.Unlock()
			s.keep()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// keep takes note of the leaf in use, and of the one before.
func (s *sim) keep() {
	svid, err := s.src.GetX509SVID()
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if leaf := svid.Certificates[0]; s.newest == nil || !leaf.Equal(s.newest) {
		s.former, s.newest = s.newest, leaf
	}
}

// begin calls every few seconds and watches the session until ctx ends.
func (s *sim) begin(ctx context.Context, all *sync.WaitGroup) {
	const kind = "calls of simulated nodes"
	repeat(ctx, all, 5*time.Second, func(ctx context.Context) {
		ctx, cancel := patient(ctx)
		defer cancel()
		s.calling.Lock()
		defer s.calling.Unlock()
		code, body, err := ask(ctx, s.client, "https://"+s.at.Ingress, service(s.at), s.w.token)
		if err != nil || code != http.StatusOK {
			s.w.load.fail(kind, "%s: %d %.200s %v", s.id.Name, code, body, err)
			return
		}
		s.w.load.done(kind)
	})
	watch, err := s.router.Watch(ctx)
	must(s.w.t, err)
	all.Go(func() {
		defer func() { _ = watch.Close(context.WithoutCancel(ctx)) }()
		for {
			select {
			case <-ctx.Done():
				for len(watch.Events()) > 0 {
					s.changed(<-watch.Events())
				}
				return
			case ev := <-watch.Events():
				s.changed(ev)
			}
		}
	})
}

// changed counts the ends of its session.
func (s *sim) changed(ev speaker.SessionChanged) {
	if ev.From != fsm.Established {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
	s.why = ev.Reason
}

// dial connects to the mesh ingress, and notes at the connection's end how old it became.
func (s *sim) dial(ctx context.Context, network, _ string, _ *tls.Config) (net.Conn, error) {
	cfg := s.src.IngressTLS(node(s.at))
	cfg.NextProtos = []string{"h2"}
	mine := s.src.Material().Expires
	raw, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, network, s.at.Ingress)
	if err != nil {
		return nil, err
	}
	end := raw.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter
	if mine.Before(end) {
		end = mine
	}
	return &aging{Conn: raw, ages: s.w.ages, end: end}, nil
}

// aging is a connection that says at its end how old it became.
type aging struct {
	net.Conn
	once sync.Once
	ages *ages
	end  time.Time
}

// Close implements net.Conn.
func (a *aging) Close() error {
	a.once.Do(func() { a.ages.closed(a.end) })
	return a.Conn.Close()
}
