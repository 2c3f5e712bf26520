package site_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/site"
)

// loaded is a node's configuration as catalyst node reads it from its file.
func loaded(t *testing.T, s site.Setup) *config.Config {
	t.Helper()
	f, err := s.Node()
	if err != nil {
		t.Fatal(err)
	}
	if f.Path != site.Config || f.Secret {
		t.Errorf("%s, secret %t: want %s, for everybody to read", f.Path, f.Secret, site.Config)
	}
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		t.Fatalf("the node does not take its configuration: %v\n%s", err, f.Content)
	}
	return cfg
}

// The configuration that a site is given is one that a node takes, and says where it is reached.
func TestTheNodeTakesItsConfiguration(t *testing.T) {
	for _, c := range []struct{ address, peering, ingress string }{
		{"192.0.2.1", "192.0.2.1:7443", "192.0.2.1:8443"},
		{"2001:db8::1", "[2001:db8::1]:7443", "[2001:db8::1]:8443"},
	} {
		s := site.Setup{Address: netip.MustParseAddr(c.address)}
		cfg := loaded(t, s)
		if cfg.Identity != site.Identity || cfg.Data != site.Data {
			t.Errorf("%s: identity %s, data %s", c.address, cfg.Identity, cfg.Data)
		}
		if cfg.Peering.Listen != c.peering || cfg.Envoy.Ingress != c.ingress || s.Peering() != c.peering {
			t.Errorf("%s: peering %s (%s), ingress %s", c.address, cfg.Peering.Listen, s.Peering(), cfg.Envoy.Ingress)
		}
		if cfg.DNS != "" {
			t.Errorf("%s: it answers names at %s, which nobody asked for", c.address, cfg.DNS)
		}
	}
}

func TestNamesAreAnsweredWhenAskedFor(t *testing.T) {
	cfg := loaded(t, site.Setup{Address: netip.MustParseAddr("192.0.2.1"), DNS: true})
	if cfg.DNS != "127.0.0.1:5300" {
		t.Errorf("names are answered at %q, want this machine's loopback", cfg.DNS)
	}
}

// The unit of the identity service takes its options from a line that a shell would read, too.
func TestOptionsOfTheIdentityService(t *testing.T) {
	f := site.Setup{Address: netip.MustParseAddr("2001:db8::1")}.Auth()
	if f.Path != site.AuthDefaults || !strings.HasSuffix(f.Content, "\nOPTIONS=\"--listen [2001:db8::1]:7480\"\n") {
		t.Errorf("%s:\n%s", f.Path, f.Content)
	}
}

func TestNodeName(t *testing.T) {
	for host, want := range map[string]string{"Edge-2": "edge-2", "edge.eu.example": "edge", "edge": "edge", "": ""} {
		if got := site.NodeName(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
