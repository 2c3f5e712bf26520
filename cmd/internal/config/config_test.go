package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string, env, flags map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, flags)
}

func TestFlagOverVariableOverFileOverDefault(t *testing.T) {
	c, err := load(t, "peering: {listen: '127.0.0.1:1', deferral: 5s}\nenvoy: {egress: '127.0.0.1:2'}\n",
		map[string]string{"CATALYST_PEERING_LISTEN": "127.0.0.1:3", "CATALYST_ENVOY_EGRESS": "127.0.0.1:4",
			"CATALYST_ENVOY_ENABLED": "false"}, map[string]string{"peering-listen": "127.0.0.1:5"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Peering.Listen != "127.0.0.1:5" || c.Envoy.Egress != "127.0.0.1:4" || c.Peering.Deferral.Seconds() != 5 ||
		c.Envoy.Enabled || c.Data != "data" {
		t.Errorf("got %+v", c)
	}
}

// Passwords of headers and URLs come out of no error and no listing.
func TestSecretsAreNotShown(t *testing.T) {
	good := "gateway: {subgraphs: {books: {url: 'http://joe:s3cret@books.example/graphql', headers: {Authorization: " +
		"Bearer s3cret}}}, request-headers: [{name: X-Key, default: s3cret}], " +
		"jwks: 'https://joe:s3cret@auth.example/keys', issuer: a, audience: b}"
	c, err := load(t, good, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %s", c, c, *c, j)
	for _, f := range Fields() {
		out += fmt.Sprintf("%v %q", c.Value(f), c.Value(f))
	}
	for _, bad := range []string{
		strings.Replace(good, "audience", "audiance", 1), strings.Replace(good, "http://joe:", "ftp://joe:", 1),
		strings.Replace(good, "books.example/", "books.example:x/", 1),
		strings.Replace(good, "headers: {Authorization: Bearer s3cret}", "headers: Bearer s3cret", 1),
		strings.Replace(good, "https://joe:s3cret@auth.example/keys", "", 1), good + "}",
	} {
		_, err := load(t, bad, nil, nil)
		out += fmt.Sprintln(err)
	}
	_, err = load(t,
		"", map[string]string{"CATALYST_GATEWAY_SUBGRAPHS": "{books: {url: 'http://joe:s3cret@books.example', " +
			"headers: s3cret}}"}, nil)
	if err == nil {
		t.Error("headers that are no object pass")
	}
	if out += fmt.Sprintln(err); strings.Contains(out, "s3cret") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

func TestProblemsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"an unknown key", "peering: {listne: x}",
			[]string{"peering.listne: there is no such key", "did you mean peering.listen?"}},
		{"a key without its section", "tcp-ports: 24100-24149", []string{"tcp-ports: there", "mean envoy.tcp-ports?"}},
		{"a key in another section", "envoy: {deferral: 5s}", []string{"did you mean peering.deferral?"}},
		{"a name that two sections have", "envoy: {listen: x}",
			[]string{"envoy.listen: there is no such key; did you mean peering.listen or " +
				"bundle-endpoint.listen or gateway.listen?"}},
		{"all at once", "log: {level: loud}\nenvoy: {workers: 0, tcp-ports: '[1, 1]', egress: 'host:1'}\nadmin: 0.0.0.0:1",
			[]string{"log.level", "envoy.workers", "envoy.tcp-ports", "envoy.egress", "admin"}},
		{"a duration without a unit", "peering: {deferral: 5}", []string{"deferral"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text, nil, nil)
			if err == nil {
				t.Fatal("passes")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%s", want, err)
				}
			}
		})
	}
}

// Names are answered, and connections taken, where nobody beyond the machine or its own networks asks.
func TestDNS(t *testing.T) {
	for text, want := range map[string]string{
		"dns: '127.0.0.1:5300'": "", "dns: '172.17.0.1:53'": "", "dns-addresses: 10.9.0.0/16": "",
		"dns: '0.0.0.0:53'": "dns: ", "dns: '8.8.8.8:53'": "DNS has no TLS", "dns: 'localhost:53'": "want an IP address",
		"dns-addresses: 8.0.0.0/8": "dns-addresses: ", "dns: '127.0.0.1'": "want HOST:PORT",
	} {
		_, err := load(t, text+"\n", nil, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
