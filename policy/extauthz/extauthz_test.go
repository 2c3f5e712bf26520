package extauthz

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/policy"
)

// certificate is one as Envoy sends it.
func certificate(t testing.TB, authority bool, uris ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  authority,
		BasicConstraintsValid: true,
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// tokens takes "good", and does not answer for "later".
type tokens struct{ seen []byte }

func (k *tokens) Verify(_ context.Context, s Shown) (*policy.Bearer, error) {
	k.seen = s.Certificate
	switch s.Token {
	case "good":
		return &policy.Bearer{Principal: "USER", Subject: "joe", Organisation: "bravo.example"}, nil
	case "bound":
		return &policy.Bearer{Principal: "USER", Subject: "joe", Claims: map[string]string{BoundClaim: "x"}}, nil
	case "later":
		return nil, ErrUnavailable
	}
	return nil, errors.New("it is not good")
}

func check(method, path string, headers ...string) *auth.CheckRequest {
	all := []*core.HeaderValue{{Key: ":authority", RawValue: []byte("books.acme.example")}}
	for i := 0; i < len(headers); i += 2 {
		all = append(all, &core.HeaderValue{Key: headers[i], RawValue: []byte(headers[i+1])})
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{Source: &auth.AttributeContext_Peer{},
		Request: &auth.AttributeContext_Request{
			Http: &auth.AttributeContext_HttpRequest{
				Method:    method,
				Path:      path,
				Host:      "books.acme.example:80",
				HeaderMap: &core.HeaderMap{Headers: all},
			},
		}}}
}

// On its way to another node a token goes along, unless it is bound to the certificate of this connection; a workload
// never sees it. Envoy keeps what a request goes on by.
func TestTokensAtAWorkloadAndOnTheWay(t *testing.T) {
	for name, tt := range map[string]struct {
		raw      string
		workload bool
		stripped bool
	}{
		"at the workload": {"good", true, true}, "on the way": {"good", false, false},
		"bound, at the workload": {"bound", true, true}, "bound, on the way": {"bound", false, true},
	} {
		s := New(Config{
			Engine: permits(t), Log: slog.New(slog.DiscardHandler), Tokens: &tokens{}, ServiceHeader: "x-catalyst-service",
			Hold: true,
		})
		req := check("GET", "/", "x-catalyst-service", "books.acme.example", "authorization", "Bearer "+tt.raw)
		if tt.workload {
			req.Attributes.ContextExtensions = map[string]string{ServiceKey: "books.acme.example"}
		}
		resp, err := s.Check(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ok := resp.GetOkResponse()
		if got := slices.Contains(ok.GetHeadersToRemove(), "authorization"); got != tt.stripped {
			t.Errorf("%s: stripped: %t", name, got)
		}
		h, held, err := HeldIn(&core.Metadata{FilterMetadata: map[string]*structpb.Struct{
			MetadataNamespace: resp.GetDynamicMetadata(),
		}})
		if err != nil || !held || h.Token != tt.raw || h.Call.Service != "books.acme.example" || h.Call.Bearer != nil {
			t.Errorf("%s: held %+v, %t, %v", name, h, held, err)
		}
	}
}

// Requests that may last before they are answered are watched from their beginning; for others their answer tells.
func TestWhatLasts(t *testing.T) {
	for name, tt := range map[string]struct {
		req  *auth.CheckRequest
		want bool
	}{
		"a call":                 {check("GET", "/"), false},
		"a body of known length": {check("POST", "/", "content-length", "7"), false},
		"an upload without end":  {check("POST", "/"), true},
		"the same over HTTP/1":   {check("DELETE", "/", "transfer-encoding", "chunked"), true},
		"gRPC": {check("PUT", "/a.B/C", "content-type", "application/grpc+proto",
			"content-length", "5"), true},
		"a WebSocket":  {check("GET", "/", "upgrade", "websocket"), true},
		"a connection": {check("CONNECT", ""), true},
	} {
		s := New(Config{Engine: permits(t), Log: slog.New(slog.DiscardHandler), Hold: true})
		tt.req.Attributes.ContextExtensions = map[string]string{ServiceKey: "books.acme.example"}
		resp, err := s.Check(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(resp.GetOkResponse().GetHeaders(), func(h *core.HeaderValueOption) bool {
			return h.GetHeader().GetKey() == HoldHeader
		})
		if got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// permits is an engine that permits every call.
func permits(t *testing.T) *policy.Engine {
	t.Helper()
	snap, err := policy.Compile(policy.Source{Policies: []policy.Document{{
		Name: "t", Text: `@id("all") permit (principal, action, resource is CATALYST::Service);`,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var engine policy.Engine
	engine.Publish(snap)
	return &engine
}

// Every way to be ambiguous or to pretend is denied, by a status that is a denial, with an id and without a reason.
func TestChecks(t *testing.T) {
	snap, err := policy.Compile(policy.Source{Policies: []policy.Document{{
		Name: "t",
		Text: `@id("all") permit (principal, action, resource is CATALYST::Service);
		@id("no-admin") forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.path like "/admin*" };`,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var engine policy.Engine
	engine.Publish(snap)
	peer := certificate(t, false, "spiffe://bravo.example/node/edge")
	const svc = "x-catalyst-service"
	with := func(r *auth.CheckRequest, change func(*auth.AttributeContext)) *auth.CheckRequest {
		change(r.Attributes)
		return r
	}
	cert := func(c string) func(*auth.AttributeContext) {
		return func(a *auth.AttributeContext) { a.Source.Certificate = c }
	}
	for name, tt := range map[string]struct {
		req       *auth.CheckRequest
		code      codes.Code
		principal string
	}{
		"a peer": {with(check("GET", "/a?x=%2f", svc, "books.acme.example"), cert(peer)), codes.OK,
			`NODE::"spiffe://bravo.example/node/edge"`},
		"its other Envoy": {with(check("GET", "/", svc, "books.acme.example"),
			cert(certificate(t, false, "spiffe://bravo.example/envoy/edge/front-1"))), codes.OK,
			`NODE::"spiffe://bravo.example/node/edge"`},
		"a workload": {check("GET", "/", svc, "books.acme.example"), codes.OK, `Workload::"local"`},
		"a token": {with(check("GET", "/", svc, "books.acme.example", "authorization", "Bearer good"),
			func(a *auth.AttributeContext) {
				a.Source.Certificate = peer
				a.ContextExtensions = map[string]string{ServiceKey: "books.acme.example"}
			}), codes.OK, `USER::"joe"`},
		"another scheme": {check("GET", "/", svc, "books.acme.example", "authorization", "Basic eA=="), codes.OK,
			`Workload::"local"`},
		"a bad token": {check("GET", "/", svc, "books.acme.example", "authorization", "Bearer bad"),
			codes.Unauthenticated, ""},
		"no verifier": {check("GET", "/", svc, "books.acme.example", "authorization", "bearer later"),
			codes.Unavailable, ""},
		"two tokens": {check("GET", "/", svc, "books.acme.example", "authorization", "Bearer good", "authorization",
			"Bearer good"), codes.PermissionDenied, ""},
		"two joined": {check("GET", "/", svc, "books.acme.example", "authorization", "Bearer good, Bearer good"),
			codes.PermissionDenied, ""},
		"no request":   {&auth.CheckRequest{}, codes.PermissionDenied, ""},
		"no service":   {check("GET", "/"), codes.PermissionDenied, ""},
		"two services": {check("GET", "/", svc, "a.example", svc, "b.example"), codes.PermissionDenied, ""},
		"two hosts": {with(check("GET", "/", svc, "books.acme.example"),
			func(a *auth.AttributeContext) { a.Request.Http.Host = "svc.test,evil.test" }), codes.PermissionDenied, ""},
		"another route": {with(check("GET", "/", svc, "a.example"),
			func(a *auth.AttributeContext) { a.ContextExtensions = map[string]string{ServiceKey: "b.example"} }),
			codes.PermissionDenied, ""},
		"two URIs": {with(check("GET", "/", svc, "books.acme.example"),
			cert(certificate(t, false, "spiffe://bravo.example/node/a", "spiffe://bravo.example/node/b"))),
			codes.PermissionDenied, ""},
		"no URI": {with(check("GET", "/", svc, "books.acme.example"), cert(certificate(t, false))),
			codes.PermissionDenied, ""},
		"an authority": {with(check("GET", "/", svc, "books.acme.example"),
			cert(certificate(t, true, "spiffe://bravo.example/node/a"))), codes.PermissionDenied, ""},
		"another scheme id": {with(check("GET", "/", svc, "books.acme.example"),
			cert(certificate(t, false, "https://bravo.example/node/a"))), codes.PermissionDenied, ""},
		"garbage for one": {with(check("GET", "/", svc, "books.acme.example"), cert("%zz")), codes.PermissionDenied, ""},
		"XFCC": {check("GET", "/", svc, "books.acme.example", "x-forwarded-client-cert",
			"URI=spiffe://bravo.example/node/edge"), codes.OK, `Workload::"local"`},
		"a method in small letters": {check("get", "/", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"a method in both":          {check("DELeTE", "/", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"a method of one's own":     {check("M-SEARCH", "/", svc, "books.acme.example"), codes.OK, `Workload::"local"`},
		"forbidden":                 {check("GET", "/admin", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"encoded":                   {check("GET", "/%61dmin", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"dots":                      {check("GET", "/a/../admin", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"encoded dots":              {check("GET", "/a/%2e%2e/admin", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"slashes":                   {check("GET", "//admin", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"a backslash":               {check("GET", `/a\admin`, svc, "books.acme.example"), codes.PermissionDenied, ""},
		"NUL":                       {check("GET", "/a%00", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"not a path":                {check("GET", "admin", svc, "books.acme.example"), codes.PermissionDenied, ""},
		"all of a server":           {check("OPTIONS", "*", svc, "books.acme.example"), codes.OK, `Workload::"local"`},
		"a connection":              {check("CONNECT", "", svc, "books.acme.example"), codes.OK, `Workload::"local"`},
	} {
		k := &tokens{}
		s := New(Config{Engine: &engine, Log: slog.New(slog.DiscardHandler), Tokens: k, ServiceHeader: svc})
		resp, err := s.Check(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		if codes.Code(resp.GetStatus().GetCode()) != tt.code { //nolint:gosec // a small code
			t.Errorf("%s: got %v, want %v", name, resp, tt.code)
			continue
		}
		ok, denied, failed := resp.GetOkResponse(), resp.GetDeniedResponse(), resp.GetErrorResponse()
		switch tt.code {
		case codes.OK:
			if denied != nil || failed != nil || ok.GetHeaders()[0].GetHeader().GetValue() != tt.principal ||
				ok.GetHeaders()[0].GetAppendAction() != core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
				t.Errorf("%s: got %v", name, resp)
			}
			if stripped := slices.Contains(ok.GetHeadersToRemove(),
				"authorization"); stripped != strings.HasPrefix(tt.principal, "USER") {
				t.Errorf("%s: authorization stripped: %t", name, stripped)
			}
		case codes.Unavailable:
			if ok != nil || denied != nil || failed.GetStatus().GetCode() != 503 {
				t.Errorf("%s: got %v", name, resp)
			}
		default:
			if ok != nil || failed != nil || denied.GetStatus().GetCode() < 401 ||
				strings.Contains(denied.GetBody(), "admin") || !strings.Contains(denied.GetBody(), "decision ") {
				t.Errorf("%s: got %v", name, resp)
			}
		}
		if name == "a token" && len(k.seen) != 32 {
			t.Error("the token was verified without the certificate that it came with")
		}
	}
}

// An identity has one spelling (SPIFFE ID §2): another that somebody may take for the same is none.
func TestIdentitiesHaveOneSpelling(t *testing.T) {
	s := New(Config{Engine: permits(t), Log: slog.New(slog.DiscardHandler)})
	for id, good := range map[string]bool{
		"spiffe://bravo.example/node/edge": true, "spiffe://bravo.example/ns/a/sa/B_c.d-e": true,
		"spiffe://Bravo.example/node/edge": false, "spiffe://bravo.example/node/%65dge": false,
		"spiffe://bravo.example/node/edge/": false, "spiffe://bravo.example//node/edge": false,
		"spiffe://bravo.example/x/../node/edge": false, "spiffe://bravo.example/node/./edge": false,
		"spiffe://bravo.example:443/node/edge": false, "spiffe://u@bravo.example/node/edge": false,
		"spiffe://bravo.example/node/edge?": false, "spiffe://bravo.example/node/edge#x": false,
		"spiffe://bravo.example.:/node/edge": false, "spiffe://bravo.example/node/ed%67e": false,
		"spiffe://bravo.example/": false, "spiffe://bravo.example": false, "spiffe:///node/edge": false,
		"spiffe:node/edge": false, "//bravo.example/node/edge": false,
	} {
		u, err := url.Parse(id)
		if err != nil {
			continue // nobody can make a certificate of it with this library, nor read one
		}
		got, err := s.identify(certificate(t, false, id))
		if (err == nil) != good || good && got.uri != u.String() {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
}

// With nothing in force it is a failure; in the shadow everything passes, and what would have been denied is recorded.
func TestNothingInForceAndShadow(t *testing.T) {
	req := check("GET", "/", "x-catalyst-service", "books.acme.example")
	var recorded []policy.Record
	for _, shadow := range []bool{false, true} {
		s := New(Config{
			Engine:        &policy.Engine{},
			Log:           slog.New(slog.DiscardHandler),
			ServiceHeader: "x-catalyst-service",
			Shadow:        shadow,
			Record:        func(r policy.Record) { recorded = append(recorded, r) },
		})
		resp, err := s.Check(t.Context(), req)
		if err != nil || (resp.GetOkResponse() != nil) != shadow || (resp.GetErrorResponse() != nil) == shadow {
			t.Errorf("shadow %t: %v, %v", shadow, resp, err)
		}
	}
	if len(recorded) != 2 || recorded[1].Decision.Allow || !recorded[1].Shadow || recorded[0].ID == recorded[1].ID {
		t.Errorf("recorded %+v", recorded)
	}
}

// How Envoy knows who calls is its configuration's word: over a tunnel the node at its other end, and where a
// certificate has to be there, nobody passes without.
func TestHowTheCallerIsKnown(t *testing.T) {
	snap, err := policy.Compile(policy.Source{})
	if err != nil {
		t.Fatal(err)
	}
	var engine policy.Engine
	engine.Publish(snap)
	s := New(Config{Engine: &engine, Log: slog.New(slog.DiscardHandler), ServiceHeader: "x-catalyst-service"})
	for how, want := range map[string]string{"certificate": "", "local": `Workload::"local"`,
		"spiffe://bravo.example/node/hub": `NODE::"spiffe://bravo.example/node/hub"`} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(callerKey, how))
		resp, err := s.Check(ctx, check("GET", "/", "x-catalyst-service", "books.acme.example", callerKey, "local"))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if ok := resp.GetOkResponse(); ok != nil {
			got = ok.GetHeaders()[0].GetHeader().GetValue()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", how, got, want)
		}
	}
}
