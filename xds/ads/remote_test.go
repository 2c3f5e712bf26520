package ads_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/free"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// elsewhere is node a with its ADS by TLS alone: its Envoys are on other machines.
type elsewhere struct {
	org      authority
	src      *identity.Source
	server   *ads.Server
	address  string
	ingress  string
	compiler *xds.Compiler
	stop     func()

	mu    sync.Mutex
	until time.Time // of the certificate that an Envoy showed last; guarded by mu
}

func newElsewhere(t *testing.T, org authority, change ...func(*ads.Config)) *elsewhere {
	t.Helper()
	if _, _, err := disk.IssueNode(org.Authority, filepath.Join(org.dir, "a"), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	src, err := identity.Open(filepath.Join(org.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{org: org, src: src, ingress: fmt.Sprintf("127.0.0.1:%d", free.Port(t))}
	m := src.Material()
	e.compiler = xds.NewCompiler(xds.Config{
		Admission: xds.Admission{Organisation: true},
		Self:      m.Node,
		Ingress:   e.ingress,
		Egress:    fmt.Sprintf("127.0.0.1:%d", free.Port(t)),
		Socket:    filepath.Join(t.TempDir(), "tcp.sock"),
	})
	cfg := ads.Config{Log: slog.New(slog.DiscardHandler),
		Who: func(s tls.ConnectionState) (string, error) {
			e.mu.Lock()
			e.until = s.PeerCertificates[0].NotAfter
			e.mu.Unlock()
			id, err := src.EnvoyOf(s)
			if err == nil && id.Node != m.Node {
				err = fmt.Errorf("an Envoy of %s", id.Node)
			}
			return id.String(), err
		}}
	for _, change := range change {
		change(&cfg)
	}
	e.server = ads.NewServer(cfg)
	d, err := e.compiler.Start(xds.Identity{Chain: m.Chain, Key: m.Key, Roots: m.Roots})
	if err != nil {
		t.Fatal(err)
	}
	e.server.Publish(d)
	e.server.Open()
	e.address = fmt.Sprintf("127.0.0.1:%d", free.Port(t))
	e.start(t)
	return e
}

// start listens for Envoys; stop closes their connections.
func (e *elsewhere) start(t *testing.T) {
	t.Helper()
	lis, err := net.Listen("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.server.Serve(ctx, lis, grpc.Creds(credentials.NewTLS(e.src.OwnServerTLS()))) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(e.stop)
}

// dial opens a stream with a bundle's certificate and asks for everything that has a key.
func (e *elsewhere) dial(t *testing.T, bundle, id string) (
	discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, error,
) {
	t.Helper()
	cert, err := disk.Own(bundle).Pair()
	if err != nil {
		t.Fatal(err)
	}
	cfg := e.src.ClientTLS(e.src.Material().Node)
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	conn, err := grpc.NewClient("passthrough:///"+e.address, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		return nil, err
	}
	node := &core.Node{Id: id, Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"catalyst_identity": structpb.NewStringValue(bundle),
	}}}
	err = stream.Send(&discovery.DeltaDiscoveryRequest{
		Node: node, TypeUrl: xds.TypeSecret, ResourceNamesSubscribe: []string{"node", "trust"},
	})
	if errors.Is(err, io.EOF) { // it has ended already: Recv says why
		err = nil
	}
	return stream, err
}

// issue gives an Envoy a bundle.
func (e *elsewhere) issue(t *testing.T, node, name string) string {
	t.Helper()
	dir := filepath.Join(e.org.dir, node+"-"+name)
	if _, _, err := disk.IssueEnvoy(e.org.Authority, dir, node, name, time.Hour); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whoever connects, no answer has a private key: not even the Envoy that belongs there is given the node's.
func TestNobodyElsewhereIsSentAKey(t *testing.T) {
	e := newElsewhere(t, newAuthority(t, "acme.example"))
	key := e.src.Material().Key
	for _, who := range []struct {
		name, bundle, id string
		want             codes.Code
		reason           string
	}{
		{"its own Envoy", e.issue(t, "a", "front"), "acme.example/a/front", codes.OK, ""},
		{
			"an Envoy of another node", e.issue(t, "b", "front"), "acme.example/b/front", codes.PermissionDenied,
			"an Envoy of acme.example/b",
		},
		{
			"its own Envoy by another name", e.issue(t, "a", "front"), "acme.example/a", codes.PermissionDenied,
			"its bootstrap names it",
		},
		{"its own Envoy without files", "", "acme.example/a/front", codes.PermissionDenied, "where its own certificate"},
		{
			"another node", nodeBundle(t, e.org, "thief"), "acme.example/thief", codes.PermissionDenied,
			"an Envoy has one of its own",
		},
		{
			"the node itself", filepath.Join(e.org.dir, "a"), "acme.example/a", codes.PermissionDenied,
			"an Envoy has one of its own",
		},
	} {
		t.Run(who.name, func(t *testing.T) {
			bundle := who.bundle
			if bundle == "" {
				t.Chdir(e.org.dir)
				bundle = "a-front" // not absolute
			}
			stream, err := e.dial(t, bundle, who.id)
			var resp *discovery.DeltaDiscoveryResponse
			if err == nil {
				resp, err = stream.Recv()
			}
			if status.Code(err) != who.want || who.reason != "" && !strings.Contains(fmt.Sprint(err), who.reason) {
				t.Fatalf("got %v, want %s %q", err, who.want, who.reason)
			}
			if err != nil {
				turned := fmt.Sprint(e.server.CutOffs())
				if !strings.Contains(turned, who.reason) {
					t.Errorf("nothing is said of it: %s", turned)
				}
				return
			}
			names := map[string]bool{}
			for _, r := range resp.GetResources() {
				names[r.GetName()] = true
				b := r.GetResource().GetValue()
				if bytes.Contains(b, []byte("PRIVATE KEY")) || bytes.Contains(b, key[len(key)/3:len(key)/2]) {
					t.Errorf("%s has a private key", r.GetName())
				}
			}
			if !names["node"] || !names["trust"] {
				t.Errorf("it is sent %v", names)
			}
		})
	}
}

func nodeBundle(t *testing.T, org authority, name string) string {
	t.Helper()
	dir := filepath.Join(org.dir, name)
	if _, _, err := disk.IssueNode(org.Authority, dir, name, time.Hour); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Somebody with one certificate, however many connections he opens, keeps out nobody else, and is seen.
func TestOneCertificateTakesNoPlaceOfAnother(t *testing.T) {
	e := newElsewhere(t, newAuthority(t, "acme.example"))
	greedy, rightful := e.issue(t, "a", "greedy"), e.issue(t, "a", "front")
	for range 80 {
		if stream, err := e.dial(t, greedy, "acme.example/a/greedy"); err == nil {
			_, err = stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	stream, err := e.dial(t, rightful, "acme.example/a/front")
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Fatalf("the rightful Envoy is kept out: %v", err)
	}
	waitFor(t, "the surplus has gone", func() bool { return len(e.server.Status()) <= 5 })
}

// A real Envoy on "another machine" carries node a's traffic with a certificate of its own, which peers take for a's
// data plane; a renewed one is used, for traffic and towards the control plane, without a restart.
func TestAnEnvoyElsewhereCarriesTheNodesTraffic(t *testing.T) {
	org := newAuthority(t, "acme.example")
	e, c := newElsewhere(t, org), newPlane(t, org, "c")
	c.server.Open()
	bundle := e.issue(t, "a", "front")
	startElsewhere(t, e, bundle)
	d, problems := e.compiler.Apply(xds.Change{Services: []xds.Forwarding{to(
		books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))},
	)}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e.server.Publish(d)
	hop := xds.Target{NextHop: bgp.NextHop{Node: e.src.Material().Node, Address: e.ingress}}
	c.apply(to(books, bgp.HTTP, []xds.Target{hop}))
	c.eventually(books, 200, "one")

	shown := func() (string, time.Time) {
		cfg := c.source(t).IngressTLS(e.src.Material().Node)
		cfg.NextProtos = []string{"h2"}
		conn, err := tls.Dial("tcp", e.ingress, cfg)
		if err != nil {
			return err.Error(), time.Time{}
		}
		defer func() { _ = conn.Close() }()
		leaf := conn.ConnectionState().PeerCertificates[0]
		return leaf.URIs[0].String(), leaf.NotAfter
	}
	id, first := shown()
	if id != "spiffe://acme.example/envoy/a/front" {
		t.Fatalf("the ingress shows %s", id)
	}
	for round := range 3 { // once is not twice
		_, until, err := disk.IssueEnvoy(org.Authority, bundle, "a", "front", time.Duration(round+2)*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(
			t, "the ingress shows the renewed certificate",
			func() bool { _, now := shown(); return now.Equal(until) && !now.Equal(first) },
		)
		if code, body := c.get(books); code != 200 {
			t.Errorf("after renewal %d: %d %q", round+1, code, body)
		}
		e.stop()
		e.start(t)
		waitFor(t, "it shows the renewed certificate to the control plane", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.until.Equal(until) && len(e.server.Status()) == 1
		})
	}
}

// source is the identity of a plane's node.
func (p *plane) source(t *testing.T) *identity.Source {
	t.Helper()
	src, err := identity.Open(p.bundle)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// startElsewhere runs one Envoy by the bootstrap of catalyst envoy bootstrap --remote.
func startElsewhere(t *testing.T, e *elsewhere, bundle string) {
	t.Helper()
	id, err := identity.Envoy(bundle)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "envoy") // short: it holds a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := envoy.BootstrapConfig{
		NodeID: id.String(), Admin: filepath.Join(dir, "admin.sock"), Remote: e.address,
		Identity: bundle, ControlPlane: id.Node.URI(),
	}
	text, err := envoy.Bootstrap(cfg)
	if err != nil {
		t.Fatal(err)
	}
	files, err := cfg.SecretFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := disk.Replace(filepath.Join(bundle, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := envoy.Find("")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(binary, "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", "info")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy elsewhere:\n%s", log.String())
		}
	})
	waitFor(t, "the Envoy connects", func() bool { return len(e.server.Status()) == 1 })
}
