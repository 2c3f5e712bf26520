package docker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

// listing makes containers of what an engine answers.
func listing(t *testing.T, text string) []container {
	t.Helper()
	var all []container
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func one(name, labels, rest string) string {
	return fmt.Sprintf(
		`{"Id":"%[1]s-id","Names":["/%[1]s","/other/%[1]s"],"Created":%[4]d,"Labels":{"catalyst.service":"books"%[2]s},%[3]s}`,
		name,
		labels,
		rest,
		1000-len(name),
	)
}

const bridge = `"HostConfig":{"NetworkMode":"default"},"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}`

func words(set discover.Set) string {
	var all []string
	for _, i := range set.Items {
		all = append(all, fmt.Sprintf("%s: %s at %s", i.In, i.Order.Service, strings.Join(i.Order.Addresses, " ")))
	}
	for _, p := range set.Problems {
		all = append(all, p.In+": "+p.Why)
	}
	return strings.Join(all, "\n")
}

func TestServices(t *testing.T) {
	two := strings.Replace(bridge, "0.2", "0.3", 1)
	for _, c := range []struct{ name, in, want string }{
		{"none", `[]`, ""},
		{"by its label", "[" + one("a", `,"catalyst.port":"8080"`, bridge) + "]", "a: books at 172.17.0.2:8080"},
		{"by the only port", "[" + one("a", "", `"Ports":[{"PrivatePort":80,"Type":"tcp"},{"PrivatePort":53,"Type":"udp"}],`+bridge) + "]",
			"a: books at 172.17.0.2:80"},
		{"which of two ports", "[" + one("a", "", `"Ports":[{"PrivatePort":80,"Type":"tcp"},{"PrivatePort":81,"Type":"tcp"}],`+bridge) + "]",
			"a: catalyst.port: it exposes 2 TCP ports: say at which one the service listens"},
		{"replicas", "[" + one("a", `,"catalyst.port":"80"`, bridge) + "," + one("b", `,"catalyst.port":"80"`, two) + "]",
			"a, b: books at 172.17.0.2:80 172.17.0.3:80"},
		{"replicas that differ: the oldest is right", "[" + one("a", `,"catalyst.port":"80","catalyst.protocol":"grpc"`, bridge) + "," +
			one("older", `,"catalyst.port":"80"`, two) + "]",
			"older: books at 172.17.0.3:80\na: its labels say of books something else than those of older: protocol; " +
				"all containers of a service want the same"},
		{"the machine's network", "[" + one("a", `,"catalyst.port":"80"`,
			`"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{}}}`) + "]", "a: books at 127.0.0.1:80"},
		{"published", "[" + one("a", `,"catalyst.port":"80","catalyst.address":"published"`,
			`"Ports":[{"PrivatePort":80,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":32768,"Type":"tcp"}],`+bridge) + "]",
			"a: books at 127.0.0.1:32768"},
		{"published at an address", "[" + one("a", `,"catalyst.port":"80","catalyst.address":"published"`,
			`"Ports":[{"IP":"10.0.0.1","PrivatePort":80,"PublicPort":32768,"Type":"tcp"}],`+bridge) + "]", "a: books at 10.0.0.1:32768"},
		{"not published", "[" + one("a", `,"catalyst.port":"80","catalyst.address":"published"`, bridge) + "]",
			"a: catalyst.address: port 80 is not published: publish it, or leave the label out"},
		{"of two networks", "[" + one("a", `,"catalyst.port":"80"`, `"NetworkSettings":{"Networks":{"x":{"IPAddress":"1.1.1.1"},"y":{}}}`) + "]",
			"a: catalyst.network: it is in 2 networks (x, y): say in which one this node reaches it"},
		{"the one of Compose", "[" + one("a", `,"catalyst.port":"80","catalyst.network":"x","com.docker.compose.project":"p"`,
			`"NetworkSettings":{"Networks":{"p_x":{"IPAddress":"1.1.1.1"},"y":{}}}`) + "]", "a: books at 1.1.1.1:80"},
		{"of IPv6", "[" + one("a", `,"catalyst.port":"80"`, `"NetworkSettings":{"Networks":{"x":{"GlobalIPv6Address":"fd00::2"}}}`) + "]",
			"a: books at [fd00::2]:80"},
		{"in no such network", "[" + one("a", `,"catalyst.port":"80","catalyst.network":"z"`, bridge) + "]",
			"a: catalyst.network: it is not in the network z, but in bridge"},
		{"without an address", "[" + one("a", `,"catalyst.port":"80"`, `"NetworkSettings":{"Networks":{"none":{}}}`) + "]",
			"a: catalyst.network: it has no address in none"},
		{"a mistake harms nobody else", "[" + one("a", `,"catalyst.prot":"80"`, bridge) + "," + one("b", `,"catalyst.port":"80"`, two) + "]",
			"b: books at 172.17.0.3:80\na: catalyst.prot: there is no such label; did you mean catalyst.port?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := words(services(listing(t, c.in))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A service has a bounded number of workloads: the others are named, and it stays.
func TestManyReplicas(t *testing.T) {
	var all []string
	for i := range maxReplicas + 2 {
		all = append(all, one(fmt.Sprintf("c%02d", i), `,"catalyst.port":"80"`,
			fmt.Sprintf(`"NetworkSettings":{"Networks":{"x":{"IPAddress":"10.0.0.%d"}}}`, i+1)))
	}
	set := services(listing(t, "["+strings.Join(all, ",")+"]"))
	if len(set.Items) != 1 || len(set.Items[0].Order.Addresses) != maxReplicas || len(set.Problems) != 2 {
		t.Errorf("%s", words(set))
	}
	if want := "c00, c01, c02 and 61 more"; set.Items[0].In != want {
		t.Errorf("in %q, want %q", set.Items[0].In, want)
	}
}

// A container that was told to stop is left out at once, and stays out until it has ended or starts again.
func TestStopping(t *testing.T) {
	s := New("docker", "/nowhere")
	tell := func(action, signal string) bool {
		ev := event{Type: "container", Action: action}
		ev.Actor.ID, ev.Actor.Attributes = "a-id", map[string]string{"signal": signal}
		return s.take(ev)
	}
	for _, c := range []struct {
		action, signal string
		matters, out   bool
	}{
		{"exec_start: /healthz", "", false, false},
		{"start", "", true, false},
		{"kill", "1", true, false}, // SIGHUP: it reads its configuration again
		{"kill", "15", true, true},
		{"health_status: unhealthy", "", true, true},
		{"start", "", true, false}, // it was restarted
		{"kill", "3", true, true},  // nginx says so
		{"start", "", true, false},
		{"die", "", true, true}, // it may still be listed as running
		{"destroy", "", true, false},
	} {
		if matters := tell(c.action, c.signal); matters != c.matters || s.stopping["a-id"] != c.out {
			t.Errorf("%s %s: matters %t, out %t", c.action, c.signal, matters, s.stopping["a-id"])
		}
	}
}
