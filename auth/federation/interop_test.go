package federation

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	spiffed "github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// watcher passes on what go-spiffe's WatchBundle sees, and asks again at once.
type watcher struct {
	seen   chan uint64
	failed chan error
}

func (w *watcher) NextRefresh(time.Duration) time.Duration { return 10 * time.Millisecond }

func (w *watcher) OnUpdate(b *spiffebundle.Bundle) {
	n, _ := b.SequenceNumber()
	w.seen <- n
}

func (w *watcher) OnError(err error) {
	select {
	case w.failed <- err:
	default:
	}
}

// go-spiffe, which partners with SPIRE use, fetches and watches what is served here, over https_spiffe with the bundle
// that it holds.
func TestGoSpiffeReadsWhatIsServed(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	at, _ := served(t, acme, newBook(t, acme).Book)
	domain := spiffeid.RequireTrustDomainFromString("acme.example")
	held := spiffed.WithSPIFFEAuth(x509bundle.FromX509Authorities(domain, acme.own.Roots),
		spiffeid.RequireFromString(acme.node.URI()))
	url := "https://" + at + BundlePath
	b, err := spiffed.FetchBundle(t.Context(), domain, url, held)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := b.SequenceNumber(); !ok || n != 10 || len(b.X509Authorities()) != 1 ||
		!b.X509Authorities()[0].Equal(acme.own.Roots[0]) {
		t.Errorf("sequence %d, %d roots", n, len(b.X509Authorities()))
	}
	other := newParty(t, "acme.example", "a")
	wrong := spiffed.WithSPIFFEAuth(x509bundle.FromX509Authorities(domain, other.own.Roots),
		spiffeid.RequireFromString(acme.node.URI()))
	if _, err := spiffed.FetchBundle(t.Context(), domain, url, wrong); err == nil {
		t.Error("go-spiffe believes a server whose root it does not hold")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := &watcher{seen: make(chan uint64, 1), failed: make(chan error, 1)}
	over := make(chan error, 1)
	go func() { over <- spiffed.WatchBundle(ctx, domain, url, w, held) }()
	select {
	case n := <-w.seen:
		if n != 10 {
			t.Errorf("it watches sequence %d", n)
		}
	case err := <-w.failed:
		t.Error(err)
	case <-ctx.Done():
		t.Error("nothing is seen")
	}
	cancel()
	if err := <-over; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A bundle that go-spiffe's server makes is federated with: it is read over https_web and kept; a newer one follows,
// an older one is never taken, though go-spiffe's own watcher would.
func TestFederatingWithGoSpiffe(t *testing.T) {
	acme, bravo := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x")
	domain := spiffeid.RequireTrustDomainFromString("bravo.example")
	theirs := spiffebundle.FromX509Authorities(domain, bravo.own.Roots)
	handler, err := spiffed.NewHandler(domain, theirs)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(handler)
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	book := newBook(t, acme)
	source := Source{URL: web.URL, Profile: "https_web"}
	if err := book.Put(t.Context(), Peering{Org: "bravo.example", Source: source}, nil); err != nil {
		t.Fatal(err)
	}
	read := func() (bool, error) {
		t.Helper()
		fresh, err := Asker{}.Fetch(t.Context(), "bravo.example", source, book.Held("bravo.example"), roots)
		if err != nil {
			t.Fatal(err)
		}
		return book.Take(t.Context(), fresh, ByPoll)
	}
	holds := func(sequence uint64, roots int) {
		t.Helper()
		if b := book.Held("bravo.example"); b == nil || b.Sequence != sequence || len(b.Roots) != roots {
			t.Errorf("held: %+v, want sequence %d with %d roots", b, sequence, roots)
		}
	}
	theirs.SetSequenceNumber(7)
	if changed, err := read(); err != nil || !changed {
		t.Fatalf("%t, %v", changed, err)
	}
	holds(7, 1)
	if err := verify(bravo.chain, book.Held("bravo.example"), bravo.node); err != nil {
		t.Errorf("a certificate of it is not believed: %v", err)
	}
	next := newParty(t, "bravo.example", "x")
	theirs.AddX509Authority(next.own.Roots[0])
	theirs.SetSequenceNumber(8)
	if changed, err := read(); err != nil || !changed {
		t.Errorf("a newer one: %t, %v", changed, err)
	}
	holds(8, 2)
	theirs.RemoveX509Authority(next.own.Roots[0])
	theirs.SetSequenceNumber(7)
	if changed, err := read(); changed || !errors.Is(err, ErrOlder) {
		t.Errorf("an older one: %t, %v", changed, err)
	}
	holds(8, 2)
}
