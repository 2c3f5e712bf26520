package bgp

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"127.0.0.1:80":             {"127.0.0.1", 80},
		"[::1]:65535":              {"::1", 65535},
		"[fe80::1%eth0]:1":         {"fe80::1%eth0", 1},
		"localhost:9000":           {"localhost", 9000},
		"a_b.svc.cluster.local:1":  {"a_b.svc.cluster.local", 1},
		"web.acme.example.:443":    {"web.acme.example.", 443},
		"xn--bcher-kva.example:80": {"xn--bcher-kva.example", 80},
	} {
		got, err := ParseEndpoint(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %+v (%s), %v; want %+v", text, got, got, err, want)
		}
	}
	for text, rule := range map[string]string{
		"": "want HOST:PORT", "nope": "want HOST:PORT", ":80": "an IP address or a DNS name", "a:": "1 to 65535",
		"a:0": "1 to 65535", "a:65536": "1 to 65535",
		"a:+1": "1 to 65535", "a:http": "1 to 65535", "::1:80": "in brackets", "[::1:80": "between the brackets",
		"[127.0.0.1]:80": "between the brackets", "[x]:80": "between the brackets",
		"256.0.0.1:80": "an IP address or a DNS name", "a b:80": "a DNS name", "-a:80": "a DNS name",
		"a..b:80": "a DNS name", "http://a:80": "in brackets",
		strings.Repeat("a", 64) + ":80": "a DNS name", strings.Repeat("a.", 130) + ":80": "a DNS name",
		strings.Repeat("a", 3000) + ":80": "longer than 2048",
		"ü:80":                            "a DNS name", "a\n:80": "a DNS name",
	} {
		if got, err := ParseEndpoint(text); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%q: got %+v, %v; want an error with %q", text, got, err, rule)
		}
	}
}

func TestParseListen(t *testing.T) {
	for text, want := range map[string]Endpoint{":80": {"", 80}, "127.0.0.1:0": {"127.0.0.1", 0},
		"[::]:7443": {"::", 7443}} {
		if got, err := ParseListen(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	if got, err := ParseListen("nowhere"); err == nil {
		t.Errorf("got %+v", got)
	}
}

// Whatever is read, Go's own net package reads as the same host and port.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"a:1", "[::1]:80", "1.2.3.4:5", "::1:2", "[a]:1", "a:b:c", "[]:1", "a.b.:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEndpoint(text)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(text)
		if err != nil || host != e.Host || port != strconv.Itoa(int(e.Port)) &&
			strings.TrimLeft(port, "0") != strconv.Itoa(int(e.Port)) {
			t.Fatalf("%q: got %+v, net says %q %q %v", text, e, host, port, err)
		}
		if again, err := ParseEndpoint(e.String()); err != nil || again != e {
			t.Fatalf("%q: %s reads as %+v, %v", text, e, again, err)
		}
	})
}
