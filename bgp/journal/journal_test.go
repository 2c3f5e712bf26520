package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func TestWhatWasOrderedComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	pref := uint32(200)
	peer := Peer{
		Node: bgp.NodeID{Org: "acme.example", Name: "b"}, Addresses: []string{"10.0.0.1:7443"}, MaxRoutes: 10,
		Import: &filter.Chain{
			Default: filter.Reject,
			Terms: []filter.Term{{
				Name:   "x",
				Match:  filter.Match{Services: []string{"*.acme.example"}},
				Set:    filter.Set{LocalPref: &pref},
				Action: filter.Accept,
			}},
		},
	}
	svc := Service{
		Name:        "books.acme.example",
		Protocol:    bgp.GraphQL,
		Address:     "127.0.0.1:80",
		Tags:        []string{"a"},
		Communities: []bgp.Community{{Org: "acme.example", Key: "k", Value: "v"}},
	}
	for range 2 { // the second replaces
		if err := errors.Join(j.PutPeer(t.Context(), peer), j.PutService(t.Context(), svc)); err != nil {
			t.Fatal(err)
		}
	}
	lines := Port{Service: "lines.acme.example", Port: 9000, Pinned: true, Away: time.Unix(1_700_000_000, 0).UTC()}
	if err := j.SavePorts(t.Context(), []Port{{Service: "books.acme.example", Port: 9001},
		{Service: "lines.acme.example", Port: 9002}}, nil); err != nil {
		t.Fatal(err)
	}
	// the second replaces, and forgets
	if err := j.SavePorts(t.Context(), []Port{lines}, []bgp.Service{"books.acme.example"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	peers, err1 := j.Peers(t.Context())
	services, err2 := j.Services(t.Context())
	ports, err3 := j.Ports(t.Context())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Peer{peer}, peers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Service{svc}, services); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Port{lines}, ports); diff != "" {
		t.Error(diff)
	}
	for want := range 2 {
		had, err := j.RemovePeer(t.Context(), peer.Node)
		if err != nil || had != (want == 0) {
			t.Errorf("remove: %v, %v", had, err)
		}
	}
}

// A full disk is said so, and what was there before stays.
func TestFullDisk(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	svc := func(i int) Service {
		return Service{
			Name:     bgp.Service(fmt.Sprintf("s%d.acme.example", i)),
			Protocol: bgp.TCP,
			Address:  "127.0.0.1:1",
			Region:   strings.Repeat("x", 3000),
		}
	}
	if err := j.PutService(t.Context(), svc(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.db.ExecContext(t.Context(), `PRAGMA max_page_count = 20`); err != nil {
		t.Fatal(err)
	}
	var err error
	kept := 1
	for ; err == nil && kept < 100; kept++ {
		err = j.PutService(t.Context(), svc(kept))
	}
	kept--
	if !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want %v", err, ErrFull)
	}
	services, err := j.Services(t.Context())
	if err != nil || len(services) != kept {
		t.Errorf("%d services are left, want %d; %v", len(services), kept, err)
	}
}

// The data directory may have any name: one with a sign that means something in a URI must not lead to another file.
func TestAnyPath(t *testing.T) {
	for _, name := range []string{"a#b", "a?mode=memory", "a%20b", "a b"} {
		path := filepath.Join(t.TempDir(), name)
		j := open(t, path)
		if err := j.PutService(t.Context(), Service{Name: "books.acme.example", Protocol: bgp.HTTP}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What could not be read again would keep every later start from its journal.
func TestUnreadableRecordsAreNotKept(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	if err := j.PutPeer(t.Context(), Peer{Node: bgp.NodeID{Org: "acme.example", Name: "not a name"}}); err == nil {
		t.Error("a peer of no possible name is kept")
	}
	if peers, err := j.Peers(t.Context()); err != nil || len(peers) != 0 {
		t.Errorf("%v, %v", peers, err)
	}
}
