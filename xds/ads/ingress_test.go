package ads_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/forged"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// caller speaks to a mesh ingress as an Envoy would, with whatever certificate.
func caller(t *testing.T, a *ca.Authority, uris []string, change func(*x509.Certificate)) *http.Client {
	t.Helper()
	cert, err := forged.Certificate(a, uris, change)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{ //nolint:gosec // the caller is the attacker
		Certificates:       []tls.Certificate{cert},
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		CurvePreferences:   []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
	}
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

// call asks a service at an ingress: the status, or 0 and why there is none.
func call(t *testing.T, c *http.Client, ingress string, svc bgp.Service) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+ingress+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = string(svc)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// Who comes in is who is on the list, whatever the CA signed, and each certificate is judged to the byte.
func TestOnlyPeersComeIn(t *testing.T) {
	t.Parallel()
	const other = bgp.Service("other.acme.example")
	org, bravo := newAuthority(t, "acme.example"), newAuthority(t, "bravo.example")
	a := newPlaneConfigured(t, org, "a", func(p *plane) {
		p.identity.Roots["bravo.example"] = bravo.Roots()
		p.cfg.Admission = xds.Admission{Peers: []xds.Admitted{
			{Node: bgp.NodeID{Org: "acme.example", Name: "c"}, Everything: true},
			{Node: bgp.NodeID{Org: "bravo.example", Name: "x"}, Services: []bgp.Service{books}},
			{Node: bgp.NodeID{Org: "bravo.example", Name: "nothing"}},
		}}
	})
	a.server.Open()
	work := workload(t, "one")
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(work)}), to(other, bgp.HTTP, []xds.Target{backend(work)}))
	a.eventually(books, 200, "one")
	const c, d = "spiffe://acme.example/node/c", "spiffe://acme.example/node/d"
	peer := caller(t, org.Authority, []string{c}, nil)
	waitFor(t, "a peer comes in", func() bool { code, _ := call(t, peer, a.ingress, books); return code == 200 })
	for _, tt := range []struct {
		name   string
		signer authority
		uris   []string
		svc    bgp.Service
		want   int // 0: not even a handshake
		change func(*x509.Certificate)
	}{
		{"a peer", org, []string{c}, other, 200, nil},
		{"a peer's Envoy", org, []string{"spiffe://acme.example/envoy/c/front"}, books, 200, nil},
		{"a peer that names no service", org, []string{c}, "unknown.acme.example", 404, nil},
		{"a node that is no peer", org, []string{d}, books, 403, nil},
		{"its Envoy", org, []string{"spiffe://acme.example/envoy/d/front"}, books, 403, nil},
		{"a name that begins like a peer's", org, []string{c + "c"}, books, 403, nil},
		{"two names", org, []string{c, d}, books, 403, nil},
		{"two names, the peer's last", org, []string{d, c}, books, 403, nil},
		{"the same name twice", org, []string{c, c}, books, 403, nil},
		{"two Envoys", org, []string{"spiffe://acme.example/envoy/c/front", c}, books, 403, nil},
		{"one name with a comma", org, []string{c + "," + c}, books, 403, nil},
		{"an Envoy's name with a comma", org, []string{"spiffe://acme.example/envoy/c/front,"}, books, 403, nil},
		{"dot segments", org, []string{"spiffe://acme.example/node/d/../c"}, books, 403, nil},
		{"dot segments for an Envoy", org, []string{"spiffe://acme.example/envoy/c/.."}, books, 403, nil},
		{"more segments", org, []string{"spiffe://acme.example/envoy/c/front/more"}, books, 403, nil},
		{"a query", org, []string{c + "?x"}, books, 403, nil},
		{"an empty fragment", org, []string{c + "#"}, books, 403, nil},
		{"capitals", org, []string{"spiffe://acme.example/node/C"}, books, 403, nil},
		{"the peer as a DNS name", org, []string{d}, books, 403, func(x *x509.Certificate) { x.DNSNames = []string{c} }},
		{"the peer as subject", org, []string{d}, books, 403, func(x *x509.Certificate) { x.Subject.CommonName = c }},
		{"no URI name", org, nil, books, 0, func(x *x509.Certificate) { x.DNSNames = []string{c} }},
		{"the peer, signed by another organisation", bravo, []string{c}, books, 0, nil},
		{
			"the peer second, signed by another organisation", bravo, []string{"spiffe://bravo.example/node/x", c}, other, 403,
			nil,
		},
		{"over", org, []string{c}, books, 0, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Second) }},
		{"a peer of another organisation", bravo, []string{"spiffe://bravo.example/node/x"}, books, 200, nil},
		{"its Envoy, of another organisation", bravo, []string{"spiffe://bravo.example/envoy/x/front"}, books, 200, nil},
		{"it, for what it was not offered", bravo, []string{"spiffe://bravo.example/node/x"}, other, 403, nil},
		{"its Envoy, for what it was not offered", bravo, []string{"spiffe://bravo.example/envoy/x/front"}, other, 403, nil},
		{"it, for what there is not", bravo, []string{"spiffe://bravo.example/node/x"}, "unknown.acme.example", 403, nil},
		{"a node of another organisation that is no peer", bravo, []string{"spiffe://bravo.example/node/y"}, books, 403, nil},
		{"a peer that was offered nothing", bravo, []string{"spiffe://bravo.example/node/nothing"}, books, 403, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if code, body := call(t, caller(t, tt.signer.Authority, tt.uris, tt.change), a.ingress, tt.svc); code != tt.want {
				t.Errorf("got %d %q, want %d", code, body, tt.want)
			}
		})
	}
}

// A peer that is removed is refused on the connection that it has, one that is added comes in, and nobody else's
// connection ends for it.
func TestTheListFollowsPeersAtOnce(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	admitted := func(names ...string) (a xds.Admission) {
		for _, n := range names {
			a.Peers = append(a.Peers, xds.Admitted{Node: bgp.NodeID{Org: "acme.example", Name: n}, Everything: true})
		}
		return a
	}
	a := newPlaneConfigured(t, org, "a", func(p *plane) { p.cfg.Admission = admitted("c", "d") })
	a.server.Open()
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	c := caller(t, org.Authority, []string{"spiffe://acme.example/node/c"}, nil)
	d := caller(t, org.Authority, []string{"spiffe://acme.example/node/d"}, nil)
	stays := caller(t, org.Authority, []string{"spiffe://acme.example/node/d"}, nil)
	waitFor(t, "peers come in", func() bool {
		first, _ := call(t, c, a.ingress, books)
		second, _ := call(t, stays, a.ingress, books)
		return first == 200 && second == 200
	})
	before := a.stat("listener.mesh-ingress.downstream_cx_total")
	for _, step := range []struct {
		list  xds.Admission
		c, d  int
		after string
	}{{admitted("d"), 403, 200, "c was removed"}, {admitted("c", "d"), 200, 200, "c was added"}, {
		xds.Admission{}, 403, 403, "all were removed",
	},
		{xds.Admission{Organisation: true}, 200, 200, "the organisation was let in"},
		{refusing(xds.Admission{Organisation: true}, "c"), 403, 200, "c was revoked"},
		{refusing(admitted("c", "d"), "c"), 403, 200, "c was revoked, and is a peer"},
		{admitted("c", "d"), 200, 200, "c joined anew"}} {
		delta, err := a.compiler.Admit(step.list)
		if err != nil || len(delta.Set) != 1 || len(delta.Removed) > 0 {
			t.Fatalf("%v: %d resources changed, want the list alone", err, len(delta.Set))
		}
		a.server.Publish(delta)
		waitFor(t, step.after, func() bool {
			first, _ := call(t, c, a.ingress, books)
			second, _ := call(t, d, a.ingress, books)
			return first == step.c && second == step.d
		})
	}
	if code, body := call(t, stays, a.ingress, books); code != 200 {
		t.Errorf("%d %q", code, body)
	}
	if now := a.stat("listener.mesh-ingress.downstream_cx_total"); now != before+1 { // that of d
		t.Errorf("%d connections were made anew", now-before-1)
	}
	if left := a.stat("listener_manager.total_listeners_draining"); left != 0 {
		t.Errorf("%d listeners drain", left)
	}
}

// refusing adds nodes whose certificates are revoked.
func refusing(a xds.Admission, names ...string) xds.Admission {
	for _, n := range names {
		a.Refused = append(a.Refused, bgp.NodeID{Org: "acme.example", Name: n})
	}
	return a
}

// Until the list is there, nobody comes in.
func TestWithoutAListNobodyComesIn(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlaneConfigured(t, org, "a", func(p *plane) { p.cfg.Admission = xds.Admission{} })
	a.server.Open()
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	a.eventually(books, 200, "one") // as an application beside it
	c := caller(t, org.Authority, []string{"spiffe://acme.example/node/c"}, nil)
	waitFor(t, "the ingress answers", func() bool { code, _ := call(t, c, a.ingress, books); return code != 0 })
	if code, body := call(t, c, a.ingress, books); code != 403 || !strings.Contains(body, "denied") {
		t.Errorf("%d %q", code, body)
	}
}

// Another organisation's CA cannot stand in for a next hop of this one by putting a name of its own before that of
// the next hop.
func TestANextHopIsJudgedByItsOwnRoots(t *testing.T) {
	t.Parallel()
	org, bravo := newAuthority(t, "acme.example"), newAuthority(t, "bravo.example")
	c := newPlaneConfigured(t, org, "c", func(p *plane) { p.identity.Roots["bravo.example"] = bravo.Roots() })
	c.server.Open()
	impostor := func(signer authority, uris ...string) string {
		cert, err := forged.Certificate(signer.Authority, uris, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(
			w http.ResponseWriter, _ *http.Request,
		) {
			_, _ = io.WriteString(w, "it is me")
		}))
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{
				tls.X25519MLKEM768, tls.X25519,
			},
			ClientAuth: tls.RequestClientCert,
		}
		s.StartTLS()
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "https://")
	}
	const b, x = "spiffe://acme.example/node/b", "spiffe://bravo.example/node/x"
	for name, tt := range map[string]struct {
		address string
		hop     bgp.NodeID
		want    int
	}{
		"itself": {impostor(org, b), bgp.NodeID{Org: "acme.example", Name: "b"}, 200},
		"one of its Envoys": {
			impostor(org, "spiffe://acme.example/envoy/b/front"), bgp.NodeID{Org: "acme.example", Name: "b"}, 200,
		},
		"itself, of another":    {impostor(bravo, x), bgp.NodeID{Org: "bravo.example", Name: "x"}, 200},
		"a name before its own": {impostor(bravo, x, b), bgp.NodeID{Org: "acme.example", Name: "b"}, 503},
		"the other's roots":     {impostor(bravo, b), bgp.NodeID{Org: "acme.example", Name: "b"}, 503},
		"an Envoy of another": {
			impostor(org, "spiffe://acme.example/envoy/d/front"), bgp.NodeID{Org: "acme.example", Name: "b"}, 503,
		},
		"an unknown organisation": {impostor(bravo, "spiffe://bravo.example/node/x", "spiffe://delta.example/node/z"),
			bgp.NodeID{Org: "delta.example", Name: "z"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			svc := bgp.Service(strings.ToLower(strings.NewReplacer(",", "", "'", "", " ", "-").Replace(name)) + ".acme.example")
			c.apply(to(svc, bgp.HTTP, []xds.Target{{NextHop: bgp.NextHop{Node: tt.hop, Address: tt.address}}}))
			body := "it is me"
			if tt.want != 200 {
				body = ""
			}
			c.eventually(svc, tt.want, body)
		})
	}
}

// What a caller says of where a request came from, where it has been and how Envoy is to treat it reaches no
// workload; what nodes say does.
func TestCallersClaimsReachNoWorkload(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	seen := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r.Header.Clone():
		default:
		}
		w.WriteHeader(http.StatusServiceUnavailable) // which x-envoy-retry-on would have tried again
		_, _ = w.Write([]byte("from the workload"))
	}))
	t.Cleanup(s.Close)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(strings.TrimPrefix(s.URL, "http://"))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 503, "from the workload")
	claims := map[string]string{
		"X-Catalyst-Path": "<acme.example/forged>", "X-Catalyst-Service": "other", "X-Catalyst-Principal": "admin",
		"Forwarded":       "for=192.0.2.1",
		"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "forged.example",
		"X-Forwarded-Client-Cert": "URI=spiffe://acme.example/node/forged",
		"X-Real-Ip":               "192.0.2.1", "X-Envoy-Retry-On": "5xx", "X-Envoy-Max-Retries": "5",
		"X-Envoy-Upstream-Rq-Timeout-Ms": "1",
	}
	send := func(do func(*http.Request) (*http.Response, error), url string) http.Header {
		t.Helper()
		for len(seen) > 0 {
			<-seen
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("order"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = string(books)
		for name, value := range claims {
			req.Header.Set(name, value)
		}
		resp, err := do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if len(seen) == 0 {
			t.Fatalf("answered %s, and not by the workload", resp.Status)
		}
		h := <-seen
		select {
		case <-seen:
			t.Error("the request was sent twice")
		default:
		}
		return h
	}
	check := func(h http.Header, except ...string) {
		t.Helper()
		for name, value := range claims {
			if !slices.Contains(except, name) && strings.Contains(strings.Join(h.Values(name), ","), value) {
				t.Errorf("the workload sees %s: %s", name, h.Values(name))
			}
		}
	}
	h := send((&http.Client{Timeout: patience}).Do, "http://"+c.egress+"/")
	check(h)
	if got := strings.Join(h.Values("X-Catalyst-Path"), ","); got != "<acme.example/c>,<acme.example/a>" {
		t.Errorf("the path is %s", got)
	}
	if got := h.Get("X-Forwarded-Client-Cert"); !strings.HasSuffix(got, "URI=spiffe://acme.example/node/c") {
		t.Errorf("who sent it is said to be %q", got)
	}
	peer := caller(t, org.Authority, []string{"spiffe://acme.example/node/c"}, nil)
	// a node says where it has been
	check(send(peer.Do, "https://"+a.ingress+"/"), "X-Catalyst-Path", "X-Catalyst-Principal")
}
