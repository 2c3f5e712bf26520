// Package structure holds what the repository's layout promises: imports point one way, and every package says what
// it is for.
package structure

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/catalyst-router/catalyst/"

// A rule forbids packages (a path prefix below the module, or "" for none of them) to depend on others, with the
// reason. Whole dependencies count, not only direct imports.
type rule struct {
	packages []string // of this module, without its path; a trailing /... takes those below as well
	never    []string // import path prefixes
	why      string
}

func rules() []rule {
	core := []string{"bgp", "bgp/attr", "bgp/filter", "bgp/fsm", "bgp/rib", "bgp/speaker", "bgp/sim"}
	return append(rooms(), []rule{
		{core, []string{"google.golang.org/"},
			"the core sees no protobuf and no gRPC: values in, values out, and it builds in a second"},
		{core, []string{"database/sql", "modernc.org/"}, "the core keeps nothing on disk: the journal does"},
		{core, []string{"log/slog", "go.opentelemetry.io/", "github.com/prometheus/"},
			"the core reports by return values; shells log and measure"},
		{core, []string{"net", "crypto/tls", "os/exec", "net/http"}, "the core touches no network and starts no process"},
		{core, []string{"github.com/golang-jwt/", "github.com/spiffe/"},
			"identity is checked before an event reaches the core"},
		{core, []string{"github.com/envoyproxy/"}, "routing does not know Envoy: xds compiles what routing decides"},
		{[]string{"bgp"}, []string{module}, "the vocabulary is the bottom: it imports the standard library only"},
		{[]string{"bgp/rib", "bgp/filter", "bgp/attr"}, []string{module + "bgp/speaker", module + "bgp/fsm"},
			"tables do not know sessions"},
		{[]string{"bgp/stream"}, []string{module}, "the transport carries bytes: it knows neither routes nor identities"},
		{[]string{"bgp/..."}, []string{module + "xds", module + "envoy", module + "graphql", module + "policy",
			module + "cmd"}, "routing does not know what is made of its routes"},
		{[]string{"xds"}, []string{"google.golang.org/grpc", "log/slog", "os/exec"},
			"compilation is pure: the ADS server and the supervisor are its shells"},
		{[]string{"xds/...", "envoy"}, []string{module + "bgp/speaker", module + "bgp/peering", module + "bgp/journal",
			module + "cmd"}, "the data plane gets forwarding state, it does not ask for it"},
		{[]string{"xds", "envoy/ports"}, []string{"database/sql", module + "bgp/journal"},
			"compilation is given local ports: whose they are is kept by its caller"},
		{[]string{"envoy/addresses", "cmd/internal/splitdns"},
			[]string{"net", "net/http", "os/exec", "log/slog", "database/sql", "github.com/miekg/"},
			"an address and a resolver's text are functions of names: their callers listen, write and log"},
		{[]string{"cmd/internal/nameserver"}, []string{module + "xds", module + "policy", module + "cmd/internal/forwarding"},
			"names are answered by what small interfaces say: a name server knows neither Envoy nor Cedar"},
		{[]string{"graphql/supergraph", "graphql/plan"}, []string{"net/http", "google.golang.org/grpc"},
			"composition and planning are pure"},
		{[]string{"graphql/supergraph/sdl", "graphql/supergraph/measure", "graphql/supergraph/label"}, []string{module},
			"text is read and written below composition, which knows what it means"},
		{[]string{"graphql/plan/graph/feature", "graphql/plan/graph/literal"}, []string{module},
			"what a supergraph links is known before it is read, and values are written without it"},
		{[]string{"graphql/supergraph", "graphql/plan", "graphql/exec", "graphql/gateway"},
			[]string{module + "bgp", module + "cmd", module + "xds"},
			"the gateway runs alone as well: routes are handed to it as subgraphs"},
		{[]string{"auth/token", "auth/keys", "auth/seal"},
			[]string{module + "bgp", "database/sql", "net/http", "google.golang.org/", "log/slog"},
			"tokens are values: services that verify them take nothing else of Catalyst along"},
		{[]string{"cmd/internal/offer/...", "cmd/internal/forwarding", "cmd/internal/trace", "cmd/internal/gateway",
			"cmd/internal/api", "cmd/internal/localports", "cmd/internal/nameserver"},
			[]string{module + "cmd/internal/daemon", module + "cmd/internal/cli"},
			"a room of the node does not know who wires it"},
		{[]string{"cmd/internal/discover/..."}, []string{module + "cmd/internal/daemon", module + "cmd/internal/cli",
			module + "cmd/internal/api", module + "cmd/internal/offer", module + "bgp/peering", module + "xds"},
			"what is found is told by a small interface: who checks and announces it is asked the same way as an operator asks"},
		{[]string{"cmd/internal/cluster"}, []string{module, "k8s.io/api/", "k8s.io/client-go/kubernetes",
			"k8s.io/client-go/informers"},
			"what a cluster has is read without the types of all its kinds, which would make the program larger by half"},
		{[]string{"cmd/internal/imported"}, []string{module + "cmd/internal/daemon", module + "cmd/internal/cli",
			module + "cmd/internal/api", module + "cmd/internal/forwarding", module + "xds"},
			"a room of the node is told of ports and rights by small functions: it knows neither Envoy nor who wires it"},
		{[]string{"xds/demand"}, []string{"google.golang.org/", "log/slog", "net", "os/exec", module + "xds/ads"},
			"what is used is counted without a clock: asking, compiling and keeping are its callers'"},
		{[]string{"cmd/internal/ondemand"}, []string{module + "cmd/internal/daemon", module + "cmd/internal/cli",
			module + "cmd/internal/api", module + "cmd/internal/forwarding", module + "graphql", module + "policy"},
			"what Envoys use is told to whoever compiles: it knows neither routes nor policies"},
		{[]string{"cmd/internal/offer/..."}, []string{module + "xds", module + "envoy", module + "graphql"},
			"what is offered does not depend on how it is served"},
		{[]string{"cmd/internal/forwarding"}, []string{module + "graphql", module + "cmd/internal/api"},
			"forwarding answers nobody: the operator API asks it"},
		{[]string{"auth/bundle"}, []string{"net/http", "google.golang.org/", "log/slog", "database/sql",
			module + "auth/store"},
			"a bundle is a value: fetching and keeping it are others'"},
		{[]string{"auth/federation"}, []string{"google.golang.org/grpc", "database/sql", module + "auth/store",
			module + "bgp/peering", module + "bgp/speaker", module + "bgp/journal"},
			"whom a node trusts is decided without routes: what follows for them is the room's"},
		{[]string{"cmd/internal/trust"}, []string{module + "cmd/internal/daemon", module + "cmd/internal/cli",
			module + "cmd/internal/api", module + "graphql", module + "xds"},
			"a room of the node knows neither who wires it nor who asks it"},
		{[]string{"cmd/internal/ledger"}, []string{module + "cmd/internal/daemon", module + "cmd/internal/cli",
			module + "cmd/internal/api", module + "cmd/internal/forwarding", module + "graphql"},
			"the ledger is given what Envoy counts and who may come in"},
		{[]string{"cmd/internal/backup", "cmd/internal/snapshot"}, []string{module + "bgp", module + "auth", module + "envoy",
			module + "xds", module + "graphql"},
			"a backup takes files and gives them back: what they mean is others'"},
		{[]string{"cmd/internal/doctor"}, []string{module + "cmd/internal/daemon", module + "cmd/internal/cli",
			module + "cmd/internal/api", module + "graphql"},
			"the doctor is given what a node answers: it works where none runs"},
		{[]string{"auth/store"}, []string{module, "google.golang.org/grpc"},
			"the store keeps rows: what they mean is decided above it"},
		{[]string{"policy"}, []string{module, "net", "net/http", "google.golang.org/", "log/slog"},
			"a decision is values in, values out: it knows neither Envoy nor tokens, and can be replayed"},
		{[]string{"policy/spread"}, []string{module + "auth", module + "bgp/peering", module + "bgp/speaker", "database/sql",
			"google.golang.org/grpc"},
			"what nodes tell each other of policies is carried, signed and kept by others"},
		{[]string{"auth/service"}, []string{"net/http", "google.golang.org/grpc"},
			"the service decides: auth/server is its network"},
		{[]string{"auth/bearer", "auth/revoke"},
			[]string{module + "bgp", module + "auth/store", "database/sql", "github.com/spiffe/"},
			"services that take tokens take nothing else of Catalyst along"},
		{[]string{"auth/member"}, []string{module + "auth/store", module + "auth/service", "database/sql"},
			"a member asks the service: it does not carry it along"},
		{[]string{"auth/..."}, []string{module + "cmd", module + "xds", module + "graphql"},
			"identity is below all that uses it"},
		{[]string{"bgp/peering", "bgp/stream", "xds/ads"}, []string{module + "auth"},
			"who a peer or an Envoy is, is asked by small interfaces: identity is one way to answer"},
		{[]string{"auth/ca"}, []string{module + "auth/disk", "log/slog", "google.golang.org/grpc"},
			"the CA signs and returns: files and connections are its callers'"},
	}...)
}

// rooms are the rules of the command line: its rooms know console and what lies beside it, not each other.
func rooms() []rule {
	const below = module + "cmd/internal/cli/"
	all := []string{"graph", "identity", "machine", "node", "peers", "policies", "routing"}
	var out []rule
	for _, room := range all {
		never := []string{}
		for _, other := range all {
			if other != room {
				never = append(never, below+other)
			}
		}
		out = append(out, rule{[]string{"cmd/internal/cli/" + room}, never,
			"commands of one room do not call those of another: what both need is in console or beside it"})
	}
	shared := []string{}
	for _, room := range all {
		shared = append(shared, below+room)
	}
	return append(out, rule{[]string{"cmd/internal/cli/console", "cmd/internal/cli/organisation",
		"cmd/internal/cli/rulefile", "cmd/internal/cli/playback"}, shared, "what commands share knows no command"})
}

// The rooms of the command line are its own: what others need of them lies beside it.
func TestOnlyTheCommandLineImportsItsRooms(t *testing.T) {
	const cli = module + "cmd/internal/cli"
	inside := 0
	for _, p := range list(t) {
		if p.ImportPath == cli || strings.HasPrefix(p.ImportPath, cli+"/") {
			inside++
			continue
		}
		for _, dep := range p.Imports {
			if strings.HasPrefix(dep, cli+"/") {
				t.Errorf("%s imports %s: what both need goes beside cmd/internal/cli", p.ImportPath, dep)
			}
		}
	}
	if inside < 10 {
		t.Errorf("the command line has %d packages: this looks at the wrong place", inside)
	}
}

type pkg struct {
	ImportPath string
	Name       string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func TestImportsPointOneWay(t *testing.T) {
	packages := list(t)
	for _, r := range rules() {
		matched := false
		for _, p := range packages {
			if !r.covers(strings.TrimPrefix(p.ImportPath, module)) {
				continue
			}
			matched = true
			for _, dep := range p.Deps {
				if bad := r.forbids(dep); bad && dep != p.ImportPath {
					t.Errorf("%s depends on %s, but %s", p.ImportPath, dep, r.why)
				}
			}
		}
		if !matched {
			t.Errorf("rule for %v matches no package: it can never fail", r.packages)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range list(t) {
		generated := !slices.ContainsFunc(p.GoFiles, func(f string) bool { return !strings.HasSuffix(f, ".pb.go") })
		if len(p.GoFiles) > 0 && !generated && strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	for _, p := range list(t) {
		switch p.Name {
		case "util", "utils", "common", "types", "helpers", "manager", "misc", "base":
			t.Errorf("%s is named %q, which says nothing about what it holds", p.ImportPath, p.Name)
		}
	}
}

func (r rule) covers(path string) bool {
	for _, want := range r.packages {
		if root, below := strings.CutSuffix(want, "/..."); below {
			if path == root || strings.HasPrefix(path, root+"/") {
				return true
			}
		} else if path == want {
			return true
		}
	}
	return false
}

// forbids tells whether dep is a forbidden path or lies below one; a package of the standard library stands for
// itself alone, so that "net" does not take net/netip with it.
func (r rule) forbids(dep string) bool {
	for _, bad := range r.never {
		bad = strings.TrimSuffix(bad, "/")
		host, _, _ := strings.Cut(bad, "/")
		if dep == bad || strings.Contains(host, ".") && strings.HasPrefix(dep, bad+"/") {
			return true
		}
	}
	return false
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Doc,GoFiles,Imports,Deps", module+"...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, p)
	}
}
