package extauthz

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/policy"
)

func shortWay(s *Server) codec { return codec{encoding.GetCodecV2(protocodec.Name), s.reads} }

// any of them, now and then none at all.
func pick(r *rand.Rand, all ...string) string {
	if r.IntN(4) == 0 {
		return ""
	}
	return all[r.IntN(len(all))]
}

func someQuestion(r *rand.Rand, certificate string) *auth.CheckRequest {
	http := &auth.AttributeContext_HttpRequest{
		Id: "7", Method: pick(r, "GET", "POST", "CONNECT", "Get"), Path: pick(r, "/shelf/1?q=2", "/a/../b", "/%2f"),
		Host: pick(r, "books.acme.example", "books.acme.example:443", "a b"), Size: 12, Protocol: "HTTP/2", Scheme: "https",
	}
	names := []string{
		":authority", "host", "authorization", "upgrade", "content-type", "cookie", "x-catalyst-service", "x-tenant",
	}
	value := func() string { return pick(r, "books.acme.example", "Bearer good", "application/grpc", "w\xffb", "a") }
	for range r.IntN(6) {
		h := &core.HeaderValue{Key: names[r.IntN(len(names))], RawValue: []byte(value())}
		if len(h.RawValue) == 0 {
			h.Value = "plain"
		}
		if http.HeaderMap == nil {
			http.HeaderMap = &core.HeaderMap{}
		}
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, h)
	}
	if r.IntN(4) == 0 {
		http.Headers = map[string]string{"host": "books.acme.example", "cookie": "c", "authorization": "Bearer good"}
	}
	q := &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source:      &auth.AttributeContext_Peer{Principal: "someone", Certificate: pick(r, certificate, "%zz")},
		Destination: &auth.AttributeContext_Peer{Certificate: "not the caller's"},
		Request:     &auth.AttributeContext_Request{Time: timestamppb.Now(), Http: http},
	}}
	if r.IntN(8) == 0 {
		q.Attributes.Request.Http = nil
	}
	if r.IntN(2) == 0 {
		q.Attributes.ContextExtensions = map[string]string{
			ServiceKey: "books.acme.example", AuthorizationKey: pick(r, "keep"),
		}
		q.Attributes.TlsSession = &auth.AttributeContext_TLSSession{Sni: pick(r, "books.acme.example")}
	}
	return q
}

// A question that was read in the short way means to a server what it means to it when all of it is read.
func TestShortQuestionMeansTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 1))
	s := New(Config{Engine: grants(t, 1), Log: slog.New(slog.DiscardHandler), ServiceHeader: "x-catalyst-service",
		Headers: []string{"x-tenant"}})
	certificate := certificate(t, false, "spiffe://bravo.example/node/edge")
	understood := 0
	for range 5000 {
		q := someQuestion(r, certificate)
		raw, err := proto.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		var short auth.CheckRequest
		if err := shortWay(s).Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &short); err != nil {
			t.Fatalf("%v: %v", q, err)
		}
		want, wantErr := s.read(t.Context(), q)
		got, gotErr := s.read(t.Context(), &short)
		if !reflect.DeepEqual(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("%v is understood as\n%+v, %v: want\n%+v, %v", q, got, gotErr, want, wantErr)
		}
		if wantErr == nil {
			understood++
		}
	}
	if understood < 100 {
		t.Errorf("of 5,000 questions %d were understood: the test does not ask what it means to", understood)
	}
}

// What is no question is an error, which Envoy takes for a failure: it never is a question with less in it.
func TestBrokenQuestionIsRefused(t *testing.T) {
	s := New(Config{Engine: grants(t, 1), Log: slog.New(slog.DiscardHandler)})
	raw, err := proto.Marshal(check("GET", "/shelf/1", "authorization", "Bearer good"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(raw); n++ {
		var q auth.CheckRequest
		if err := shortWay(s).Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw[:n])}, &q); err == nil {
			t.Errorf("the first %d of %d bytes are a question", n, len(raw))
		}
	}
	q := check("GET", "/shelf/1")
	q.Attributes.Request.Http.Method = "G\x01T"
	if raw, err = proto.Marshal(q); err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] |= 0x80 // of the last text, the authority
	for i, b := range raw {
		if b == 0x01 && raw[i-1] == 'G' {
			raw[i] = 0xff
		}
	}
	if err := shortWay(s).Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &auth.CheckRequest{}); err == nil {
		t.Error("a method that is no UTF-8 is taken")
	}
}

// Every answer is read by others as it was meant, whichever way it was written.
func TestAnswerIsReadAsMeant(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 2))
	s := New(Config{Engine: grants(t, 1), Log: slog.New(slog.DiscardHandler)})
	all := []*auth.CheckResponse{
		{},
		{HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}}},
		refusal(codes.PermissionDenied, typev3.StatusCode_Forbidden, verdict{record: policy.Record{ID: "d"}}, false),
		refusal(codes.Unavailable, typev3.StatusCode_ServiceUnavailable, verdict{record: policy.Record{ID: "d"}}, true),
	}
	for range 500 {
		v := verdict{
			outcome: allow, principal: pick(r, `USER::"joe"`, `NODE::"äöü"`), bearer: r.IntN(2) == 0, keep: r.IntN(2) == 0,
			held: r.IntN(2) == 0, lasts: r.IntN(2) == 0, token: pick(r, "t"),
		}
		v.record.ID, v.record.Call.Peer = pick(r, "2WQZ7J5V3K6XH4TD"), pick(r, "spiffe://bravo.example/node/edge")
		for range r.IntN(40) {
			v.record.Decision.Policies = append(v.record.Decision.Policies, "a-policy-with-a-long-name")
		}
		all = append(all, s.allowed(v))
	}
	for _, change := range []func(*auth.CheckResponse){ // what answers of this package do not have today
		func(a *auth.CheckResponse) { a.GetOkResponse().Headers[0].KeepEmptyValue = true },
		func(a *auth.CheckResponse) { a.GetOkResponse().Headers[0].Append = wrapperspb.Bool(true) }, //nolint:staticcheck // it may be set
		func(a *auth.CheckResponse) { a.GetOkResponse().Headers[0].Header.RawValue = []byte("r") },
		func(a *auth.CheckResponse) { a.GetOkResponse().ResponseHeadersToAdd = a.GetOkResponse().Headers },
		func(a *auth.CheckResponse) { a.GetOkResponse().QueryParametersToRemove = []string{"q"} },
		func(a *auth.CheckResponse) { a.DynamicMetadata.Fields["n"] = structpb.NewNumberValue(1) },
		func(a *auth.CheckResponse) { a.Status.Code, a.Status.Message = 7, "no" },
	} {
		a := s.allowed(verdict{outcome: allow, principal: "p", record: policy.Record{ID: "d"}})
		change(a)
		all = append(all, a)
	}
	for _, a := range all {
		b, err := shortWay(s).Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var read auth.CheckResponse
		if err := proto.Unmarshal(b.Materialize(), &read); err != nil || !proto.Equal(&read, a) {
			t.Errorf("an answer is read as\n%v, %v: want\n%v", &read, err, a)
		}
	}
	if f := facts(verdict{held: true}).Fields; len(f) > len((&factsOf{}).values) {
		t.Errorf("%d facts have no room", len(f))
	}
}
