package xds

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/goccy/go-yaml"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// situation is what a compiler is given: a file NAME.yaml of testdata. What it compiles stands beside it, in
// NAME.txtar.
type situation struct {
	About string // what it is an example of
	// Node changes the node of compiler(): a field that is not named keeps its value.
	Node Config
	// Own are prefixes of names: of what the node has before any service, resources with those are shown. "" is for all.
	Own []string
	// Before are services that the node knew already: only the difference from there is shown.
	Before   []Forwarding
	Services []Forwarding
}

// situated reads one situation.
func situated(t *testing.T, name string) *situation {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := &situation{Node: compiler().cfg}
	if err := yaml.UnmarshalWithOptions(raw, s, yaml.Strict()); err != nil {
		t.Fatalf("%s: %s", name, err)
	}
	if s.About == "" {
		t.Fatalf("%s does not say what it is about", name)
	}
	return s
}

// situations are all of them, by name.
func situations(t *testing.T) map[string]*situation {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no situations: ", err)
	}
	all := map[string]*situation{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		all[name] = situated(t, name)
	}
	return all
}

// Each situation compiles to what stands beside it, byte for byte.
func TestGolden(t *testing.T) {
	for name, s := range situations(t) {
		t.Run(name, func(t *testing.T) { golden(t, name, s.About+"\n", s.compile(t)) })
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := os.Stat(strings.TrimSuffix(file, ".txtar") + ".yaml"); err != nil {
			t.Errorf("%s belongs to no situation: %s", file, err)
		}
	}
}

func (s *situation) compile(t *testing.T) Delta {
	t.Helper()
	c := NewCompiler(s.Node)
	start, err := c.Start(Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := c.Apply(Change{Services: s.Before}); len(problems) > 0 {
		t.Fatal(problems)
	}
	d, problems := c.Apply(Change{Services: s.Services})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	own := slices.DeleteFunc(start.Set, func(r Resource) bool {
		return !slices.ContainsFunc(s.Own, func(prefix string) bool { return strings.HasPrefix(r.Name, prefix) })
	})
	return Delta{Set: append(own, d.Set...), Removed: d.Removed}
}

// golden compares a change with that of a file, below what it is about.
func golden(t *testing.T, name, about string, d Delta) {
	t.Helper()
	ar := &txtar.Archive{Comment: []byte(about)}
	title := func(typeURL, name string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] + " " + name }
	for _, r := range d.Set {
		ar.Files = append(ar.Files, txtar.File{Name: title(r.Type, r.Name), Data: readable(t, r)})
	}
	for _, ref := range d.Removed {
		ar.Files = append(ar.Files, txtar.File{Name: "removed: " + title(ref.Type, ref.Name)})
	}
	path := filepath.Join("testdata", name+".txtar")
	got := txtar.Format(ar)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; rewrite it with -update and read the difference.\n%s", path, got)
	}
}

// readable is a resource in JSON, the mesh ingress with the first of its filter chains; protojson varies its spacing,
// so it is indented anew.
func readable(t *testing.T, r Resource) []byte {
	t.Helper()
	m := map[string]proto.Message{
		TypeCluster:   &cluster.Cluster{},
		TypeListener:  &listener.Listener{},
		TypeScope:     &route.ScopedRouteConfiguration{},
		TypeRoute:     &route.RouteConfiguration{},
		TypeSecret:    &tlsv3.Secret{},
		TypeExtension: &core.TypedExtensionConfig{},
	}[r.Type]
	if err := proto.Unmarshal(r.Body, m); err != nil {
		t.Fatal(err)
	}
	if l, ok := m.(*listener.Listener); ok && r.Name == ingressName {
		// the others are the same for other callers (see limits.go)
		l.FilterChains = l.GetFilterChains()[:1]
	}
	raw, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}
