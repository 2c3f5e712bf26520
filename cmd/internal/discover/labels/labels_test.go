package labels

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/graphql/operator"
)

func TestRead(t *testing.T) {
	got, err := Read(map[string]string{
		"catalyst.service":           "books",
		"catalyst.protocol":          "tcp",
		"catalyst.port":              "8080",
		"catalyst.tags":              "a, b,",
		"catalyst.communities":       "acme.example:tier:gold",
		"catalyst.weight":            "5",
		"catalyst.med":               "7",
		"catalyst.yields":            "true",
		"catalyst.region":            "eu",
		"catalyst.health":            "tcp",
		"catalyst.health-interval":   "1s",
		"catalyst.health-timeout":    "500ms",
		"catalyst.health-rise":       "2",
		"catalyst.health-fall":       "3",
		"catalyst.when-down":         "withdraw",
		"catalyst.service-port":      "5432",
		"catalyst.local-port":        "10001",
		"catalyst.network":           "back",
		"catalyst.address":           "published",
		"catalyst.tls":               "true",
		"catalyst.tls-insecure":      "true",
		"catalyst.tls-ca":            "pem",
		"catalyst.tls-name":          "n",
		"catalyst.tls-id":            "spiffe://x/y",
		"catalyst.idle-timeout":      "4s",
		"com.docker.compose.project": "x",
	}, "catalyst.")
	if err != nil {
		t.Fatal(err)
	}
	want := Order{
		Service: operator.ServiceInput{
			Service:        "books",
			Protocol:       "tcp",
			Tags:           []string{"port=5432", "a", "b"},
			Port:           10001,
			Communities:    []string{"acme.example:tier:gold"},
			Weight:         5,
			Med:            7,
			Yields:         true,
			Region:         "eu",
			HealthPath:     "tcp",
			HealthInterval: "1s",
			HealthTimeout:  "500ms",
			HealthRise:     2,
			HealthFall:     3,
			WhenDown:       "withdraw",
			IdleTimeout:    "4s",
			TLS:            true,
			TLSInsecure:    true,
			TLSCa:          "pem",
			TLSName:        "n",
			TLSID:          "spiffe://x/y",
		},
		Port: 8080, Network: "back", Published: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for value, c := range map[string]struct{ key, want string }{
		"8o80":  {"port", `catalyst.port: "8o80": want a port of 1 to 65535`},
		"0":     {"service-port", `catalyst.service-port: "0": want a port`},
		"70000": {"local-port", `want a port of 1 to 65535`},
		"lots":  {"weight", `catalyst.weight: "lots": want a whole number`},
		"ja":    {"tls", `catalyst.tls: "ja": want true or false`},
		"x":     {"potr", `catalyst.potr: there is no such label; did you mean catalyst.port?`},
		"y":     {"something.else", `catalyst.something.else: there is no such label`},
		"host":  {"address", `want container or published`},
		"gql":   {"graphql-path", `want a path that begins with /`},
	} {
		_, err := Read(map[string]string{"catalyst.service": "books", "catalyst." + c.key: value}, "catalyst.")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.key, err, c.want)
		}
	}
	if _, err := Read(map[string]string{"catalyst.port": "1"}, "catalyst."); err == nil {
		t.Error("a service without a name is taken")
	}
}
