package ads

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"

	"github.com/catalyst-router/catalyst/xds"
)

// envoy answers a server without a network.
type envoy struct {
	t  *testing.T
	s  *Server
	st *stream
}

func newEnvoy(t *testing.T, s *Server) *envoy {
	t.Helper()
	st, err := newStream(t.Context(), s)
	if err != nil || s.places.join(st) != nil {
		t.Fatal(err)
	}
	e := &envoy{t, s, st}
	e.ask(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeCluster})
	return e
}

func (e *envoy) ask(req *discovery.DeltaDiscoveryRequest) {
	e.t.Helper()
	if err := e.s.request(e.st, req); err != nil {
		e.t.Fatal(err)
	}
}

// answer takes the next response, refuses it with words unless they are empty, and returns what was sent: "http/x@1".
func (e *envoy) answer(words string) (sent []string, wait time.Duration) {
	e.t.Helper()
	resp, wait := e.s.told.next(e.st)
	if resp == nil {
		return nil, wait
	}
	for _, r := range resp.GetResources() {
		sent = append(sent, r.GetName()+"@"+r.GetVersion())
	}
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}
	if words != "" {
		req.ErrorDetail = &status.Status{Message: words}
	}
	e.ask(req)
	return sent, wait
}

func (e *envoy) want(words, want string) {
	e.t.Helper()
	sent, _ := e.answer(words)
	if got := text(sent); got != want {
		e.t.Errorf("got %q, want %q", got, want)
	}
}

func text(names []string) string {
	out := ""
	for _, n := range names {
		out += n + " "
	}
	return out
}

func service(version string) xds.Delta {
	return xds.Delta{Set: []xds.Resource{{Type: xds.TypeCluster, Name: "http/x", Version: version, Service: "x"}}}
}

// A version that is refused is tried again after 30 seconds, then after twice as long each time; another version is
// tried at once.
func TestRefusedVersionsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Config{Log: slog.New(slog.DiscardHandler)})
		s.Publish(service("1"))
		s.Open()
		e := newEnvoy(t, s)
		e.want("", "http/x@1 ")
		s.Publish(service("2"))
		e.want("Error adding/updating cluster(s) http/x: no", "http/x@2 ")
		for _, pause := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
			sent, wait := e.answer("")
			if sent != nil || wait != pause {
				t.Fatalf("got %v and a wait of %s, want %s", sent, wait, pause)
			}
			time.Sleep(pause)
			if q := s.Quarantined(); len(q) != 1 || q[0].Version != "2" || !q[0].Serving {
				t.Errorf("got %+v", q)
			}
			e.want("Error adding/updating cluster(s) http/x: no", "http/x@2 ")
		}
		s.Publish(service("3"))
		if q := s.Quarantined(); len(q) != 0 {
			t.Errorf("a version that nobody was sent is in quarantine: %+v", q)
		}
		e.want("Error adding/updating cluster(s) http/x: no", "http/x@3 ")
		if _, wait := e.answer(""); wait != 30*time.Second {
			t.Errorf("another version waits %s", wait)
		}
		time.Sleep(30 * time.Second)
		e.want("", "http/x@3 ")
		if sent, wait := e.answer(""); sent != nil || wait != 0 || len(s.Quarantined()) != 0 || len(s.view.unsettled) != 0 {
			t.Errorf("got %v, %s, %v", sent, wait, s.view.unsettled)
		}
	})
}

// An Envoy that connects anew is given the version that was taken, and not the one that it refused a moment ago;
// another Envoy is judged by itself.
func TestQuarantineIsOfOneEnvoy(t *testing.T) {
	s := NewServer(Config{Log: slog.New(slog.DiscardHandler)})
	s.Publish(service("1"))
	s.Open()
	e := newEnvoy(t, s)
	e.st.node = "one"
	e.want("", "http/x@1 ")
	s.Publish(service("2"))
	e.want("Error adding/updating cluster(s) http/x: no", "http/x@2 ")
	s.leave(e.st)
	if q := s.Quarantined(); len(q) != 0 {
		t.Errorf("an Envoy that is gone still counts: %+v", q)
	}
	again, err := newStream(t.Context(), s)
	if err != nil || s.places.join(again) != nil {
		t.Fatal(err)
	}
	again.node = "one"
	e = &envoy{t, s, again}
	e.ask(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeCluster})
	e.want("", "http/x@1 ")
	other := newEnvoy(t, s)
	other.want("", "http/x@2 ")
	if len(s.Quarantined()) != 1 || len(s.Taken()) != 1 || s.Taken()[0].Version != "1" {
		t.Errorf("got %+v and kept %+v", s.Quarantined(), s.Taken())
	}
	s.leave(again) // nobody refuses it any more
	if got := s.Taken(); got[0].Version != "2" {
		t.Errorf("kept %+v", got[0])
	}
}
