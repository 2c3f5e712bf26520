package splitdns

import (
	"net/netip"
	"strings"
	"testing"
)

// What the texts do is tried with the resolvers themselves (e2e TestSplitDNS); here is what must not be forgotten.
func TestPlans(t *testing.T) {
	s := Setup{
		Server:        netip.MustParseAddrPort("127.0.0.1:5300"),
		Organisations: []string{"bravo.example", "acme.example", "acme.example"},
	}
	for resolver, want := range map[string][]string{
		"systemd-resolved": {"resolvectl dns catalyst0 127.0.0.1:5300", "~acme.example ~bravo.example",
			"default-route catalyst0 no"},
		"dnsmasq": {"server=/acme.example/127.0.0.1#5300\n", "rebind-domain-ok=/bravo.example/\n"},
		"unbound": {"stub-addr: 127.0.0.1@5300", "do-not-query-localhost: no", `domain-insecure: "acme.example."`},
	} {
		p, err := For(resolver, s)
		if err != nil || len(p.Files) != 1 || len(p.Commands) == 0 {
			t.Errorf("%s: %+v, %v", resolver, p, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(p.Files[0].Content, w) {
				t.Errorf("%s: no %q in\n%s", resolver, w, p.Files[0].Content)
			}
		}
	}
}

func TestDocker(t *testing.T) {
	s := Setup{
		Server: netip.MustParseAddrPort("172.17.0.1:53"), Organisations: []string{"acme.example"},
		Upstream: []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("10.0.0.2")},
	}
	p, err := For("docker", s)
	if err != nil || !strings.Contains(strings.Join(strings.Fields(p.Files[0].Content), ""), `"dns":["172.17.0.1","10.0.0.2"]`) {
		t.Errorf("%+v, %v", p, err)
	}
	for at, want := range map[string]string{"172.17.0.1:5300": "port 53", "127.0.0.1:53": "loopback is its own"} {
		s.Server = netip.MustParseAddrPort(at)
		if _, err := For("docker", s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestBadSetups(t *testing.T) {
	good := Setup{Server: netip.MustParseAddrPort("127.0.0.1:5300"), Organisations: []string{"acme.example"}}
	none, nowhere, injected := good, good, good
	none.Organisations, nowhere.Server = nil, netip.AddrPort{}
	injected.Organisations = []string{"acme.example\nserver=/./10.0.0.1"}
	for name, s := range map[string]Setup{"no organisation": none, "no server": nowhere, "a line of its own": injected} {
		if _, err := For("dnsmasq", s); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := For("bind", good); err == nil || !strings.Contains(err.Error(), "unbound") {
		t.Errorf("an unknown resolver: %v", err)
	}
}
