package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

const (
	issuer   = "https://auth.acme.example"
	audience = "acme.example"
	subjects = 1000
)

// serve is the process of one kind, until it is killed.
func serve(ctx context.Context, kind, dir string) error {
	l, err := net.Listen("unix", filepath.Join(dir, kind+".sock"))
	if err != nil {
		return err
	}
	debug.SetGCPercent(200) // about what a node that decides has (cmd/internal/heap), for every kind
	if parts, ok := said(kind); ok {
		srv := grpc.NewServer()
		auth.RegisterAuthorizationServer(srv, yes{parts: parts})
		return srv.Serve(l)
	}
	name, text, _ := strings.Cut(kind, "-")
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("there is no kind %q", kind)
	}
	tokens, err := newTokens(filepath.Join(dir, "keys.json"))
	if err != nil {
		return err
	}
	var engine extauthz.Decider
	if name == "opa" {
		engine, err = newOPA(ctx, n)
	} else {
		engine, err = newCedar(n, name == "scan")
	}
	if err != nil {
		return err
	}
	cfg := extauthz.Config{Engine: engine, Log: slog.New(slog.DiscardHandler), Tokens: tokens}
	return extauthz.New(cfg).Serve(ctx, l)
}

// said is what a server that says yes to everything says besides: nothing (the floor), or what ours does, or one part
// of it, to see what that costs; false for a kind that decides.
func said(kind string) (parts []string, ok bool) {
	switch name, rest, _ := strings.Cut(kind, "-"); {
	case kind == "floor":
		return nil, true
	case kind == "told":
		return []string{"headers", "removed", "facts"}, true
	case name == "told":
		return strings.Split(rest, "+"), true
	}
	return nil, false
}

// yes says yes to everything, and looks at nothing. The answer has in it the parts of ours that it is to have: whom the
// caller was taken for, for the workload and for the log.
type yes struct {
	auth.UnimplementedAuthorizationServer
	parts []string
}

func (y yes) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	ok := &auth.OkHttpResponse{}
	out := &auth.CheckResponse{Status: &status.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok}}
	const principal, decision = `USER::"user-1"`, "2WQZ7J5V3K6XH4TD"
	var err error
	for _, part := range y.parts {
		switch part {
		case "headers":
			for name, value := range map[string]string{extauthz.PrincipalHeader: principal, extauthz.DecisionHeader: decision,
				extauthz.PeerHeader: "spiffe://bravo.example/node/edge"} {
				ok.Headers = append(ok.Headers, &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value},
					AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD})
			}
		case "removed":
			ok.HeadersToRemove = []string{"authorization"}
		case "facts":
			out.DynamicMetadata, err = structpb.NewStruct(map[string]any{"decision": decision,
				"principal": principal, "policies": "p1"})
		case "fact": // one of them
			out.DynamicMetadata, err = structpb.NewStruct(map[string]any{"decision": decision})
		default:
			err = fmt.Errorf("there is no part %q", part)
		}
	}
	return out, err
}

// tokens verifies as a node does.
type tokens struct{ *token.Verifier }

func newTokens(file string) (tokens, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return tokens{}, err
	}
	keys, err := token.ParseJWKS(raw, token.ES384)
	if err != nil {
		return tokens{}, err
	}
	v, err := token.NewVerifier(token.Config{
		Audience: audience, Issuers: token.IssuerMap{issuer: {Name: issuer, Keys: keys}}, RequireBound: true,
		Revocations: token.NothingRevoked{},
	})
	return tokens{v}, err
}

func (t tokens) Verify(ctx context.Context, shown extauthz.Shown) (*policy.Bearer, error) {
	var thumbprint token.Thumbprint
	copy(thumbprint[:], shown.Certificate)
	c, err := t.Verifier.Verify(ctx, shown.Token, thumbprint)
	if err != nil {
		return nil, err
	}
	return &policy.Bearer{
		Principal: string(c.Principal), Subject: c.Subject, Name: c.Entity.Name, Kind: c.Entity.Type,
		Organisation: "bravo.example", TrustedDomains: c.Entity.TrustedDomains,
		Claims: map[string]string{"iss": c.Issuer, "sub": c.Subject, "jti": c.ID},
	}, nil
}

// grant is what one policy gives: a subject may read what is below a path of a service.
type grant struct{ subject, service, path string }

// grants are n of them, the first for the subjects and services that are asked for.
func grants(n int) []grant {
	all := make([]grant, n)
	for i := range all {
		service := i % conns
		if i >= subjects {
			service = conns + i/subjects
		}
		all[i] = grant{subjectName(i % subjects), serviceName(service), "/s" + strconv.Itoa(service) + "/shelf"}
	}
	return all
}

func subjectName(i int) string { return "user-" + strconv.Itoa(i) }

func serviceName(i int) string { return "s" + strconv.Itoa(i) + ".acme.example" }

type scanner struct{ *policy.Snapshot }

func (s scanner) Decide(r policy.Request) policy.Decision { return s.Scan(r) }

func newCedar(n int, scan bool) (extauthz.Decider, error) {
	var src policy.Source
	var text strings.Builder
	for i, g := range grants(n) {
		fmt.Fprintf(&text, `@id("p%d") permit (principal == CATALYST::USER::%q, action == CATALYST::Action::"REQUEST",
resource == CATALYST::Service::%q) when { context.method == "GET" && context.path like "%s/*" };`+"\n",
			i, g.subject, g.service, g.path)
		if i%1000 == 999 || i == n-1 {
			src.Policies = append(src.Policies, policy.Document{Name: fmt.Sprintf("%d.cedar", i), Text: text.String()})
			text.Reset()
		}
	}
	snap, err := policy.Compile(src)
	if err != nil {
		return nil, err
	}
	if scan {
		return scanner{snap}, nil
	}
	engine := &policy.Engine{}
	engine.Publish(snap)
	return engine, nil
}
