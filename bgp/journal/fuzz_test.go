package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/catalyst-router/catalyst/bgp"
)

// books is the dumb twin of a journal.
type books struct {
	peers    map[string]Peer
	services map[bgp.Service]Service
	ports    map[bgp.Service]Port
}

// order gives both the same order, made of four bytes and a text.
func (b *books) order(t *testing.T, j *Journal, op, key, value byte, text string) {
	t.Helper()
	name := bgp.Service(string('a'+key%3) + text)
	var err error
	switch op % 6 {
	case 0:
		p := Peer{
			Node:      bgp.NodeID{Org: "acme.example", Name: strings.ToLower(string(name))},
			MaxRoutes: int(value),
			Addresses: []string{"x:1"},
			Disabled:  value%2 == 0,
		}
		err = j.PutPeer(t.Context(), p)
		if _, bad := bgp.ParseNodeID(p.Node.String()); bad != nil {
			if err == nil {
				t.Fatalf("%q is kept, and cannot be read again", p.Node)
			}
			return
		}
		b.peers[p.Node.String()] = p
	case 1:
		n := bgp.NodeID{Org: "acme.example", Name: strings.ToLower(string(name))}
		var had bool
		had, err = j.RemovePeer(t.Context(), n)
		if _, want := b.peers[n.String()]; had != want {
			t.Fatalf("%q was there: %v, want %v", n, had, want)
		}
		delete(b.peers, n.String())
	case 2:
		s := Service{Name: name, Protocol: bgp.HTTP, Weight: uint32(value), Address: "127.0.0.1:1"}
		b.services[name] = s
		err = j.PutService(t.Context(), s)
	case 3:
		var had bool
		had, err = j.RemoveService(t.Context(), name)
		if _, want := b.services[name]; had != want {
			t.Fatalf("%q was there: %v, want %v", name, had, want)
		}
		delete(b.services, name)
	case 4:
		p := Port{Service: name, Port: uint16(value), Pinned: value%2 == 0}
		if err = j.SavePorts(t.Context(), []Port{p}, nil); value == 0 {
			if err == nil {
				t.Fatalf("port 0 is kept for %q", name)
			}
			return
		}
		b.ports[name] = p
	case 5:
		delete(b.ports, name)
		err = j.SavePorts(t.Context(), nil, []bgp.Service{name})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// compare reads everything.
func (b *books) compare(t *testing.T, j *Journal) {
	t.Helper()
	peers, err := j.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	services, err := j.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ports, err := j.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := books{peers: map[string]Peer{}, services: map[bgp.Service]Service{}, ports: map[bgp.Service]Port{}}
	for _, p := range ports {
		got.ports[p.Service] = p
	}
	for _, p := range peers {
		got.peers[p.Node.String()] = p
	}
	for _, s := range services {
		got.services[s.Name] = s
	}
	if diff := cmp.Diff(*b, got, cmp.AllowUnexported(books{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("(-ordered +kept):\n%s", diff)
	}
}

// Whatever is ordered is there after each restart, and nothing else. A file that is damaged anywhere is refused, or
// read, without harm.
func FuzzJournal(f *testing.F) {
	f.Add([]byte{0, 1, 2, 2, 1, 3, 4, 1, 9, 4, 2, 9, 9, 0, 0, 1, 1, 0, 3, 1, 0, 5, 1, 0}, "node", uint32(100), byte(0xff))
	f.Add([]byte{2, 0, 1, 2, 0, 2, 9, 9, 9, 3, 0, 0}, "'; DROP TABLE peers; --", uint32(4096), byte(1))
	f.Add([]byte{0, 0, 1, 2, 2, 2}, "ü\"\\x", uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, script []byte, text string, at uint32, flip byte) {
		text = strings.ToValidUTF8(text[:min(len(text), 60)], "")
		path := filepath.Join(t.TempDir(), "journal.db")
		b := &books{peers: map[string]Peer{}, services: map[bgp.Service]Service{}, ports: map[bgp.Service]Port{}}
		j, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(script) >= 3; script = script[3:min(len(script), 150)] {
			if script[0]%7 == 6 {
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				if j, err = Open(t.Context(), path); err != nil {
					t.Fatal(err)
				}
			} else {
				b.order(t, j, script[0]%7, script[1], script[2], text)
			}
		}
		b.compare(t, j)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file[int(at)%len(file)] ^= flip
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err = Open(t.Context(), path); err != nil {
			return
		}
		_, _ = j.Peers(t.Context())
		_, _ = j.Services(t.Context())
		_, _ = j.Ports(t.Context())
		if err := j.Close(); err != nil {
			t.Logf("closed: %v", err)
		}
	})
}
