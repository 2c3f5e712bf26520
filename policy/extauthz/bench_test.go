package extauthz

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/catalyst-router/catalyst/policy"
)

// A whole check, from Envoy's question to the answer, without gRPC; tokens are of a stub. -benchmem shows what it
// allocates, which must not grow with the set.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := New(Config{Engine: grants(b, n), Log: slog.New(slog.DiscardHandler), Tokens: &tokens{}})
			req := check("GET", "/shelf/1?q=2", "authorization", "Bearer good", "user-agent", "bench", "x-request-id", "7",
				"x-forwarded-proto", "https", "accept", "*/*")
			req.Attributes.ContextExtensions = map[string]string{ServiceKey: "books.acme.example"}
			req.Attributes.Source.Certificate = certificate(b, false, "spiffe://bravo.example/node/edge")
			b.ReportAllocs()
			for b.Loop() {
				if out, err := s.Check(b.Context(), req); err != nil || out.GetOkResponse() == nil {
					b.Fatalf("%v, %v", out, err)
				}
			}
		})
	}
}

// grants are n policies, one of which permits joe to read books.
func grants(tb testing.TB, n int) *policy.Engine {
	tb.Helper()
	var src policy.Source
	for i := range n {
		if i%1000 == 0 {
			src.Policies = append(src.Policies, policy.Document{Name: fmt.Sprintf("%d.cedar", i)})
		}
		subject := "joe"
		if i > 0 {
			subject = fmt.Sprintf("u%d", i)
		}
		src.Policies[i/1000].Text += fmt.Sprintf(`@id("p%d") permit (principal == CATALYST::USER::%q,
action == CATALYST::Action::"REQUEST", resource == CATALYST::Service::"books.acme.example")
when { context.method == "GET" && context.path like "/shelf/*" };`+"\n", i, subject)
	}
	snap, err := policy.Compile(src)
	if err != nil {
		tb.Fatal(err)
	}
	e := &policy.Engine{}
	e.Publish(snap)
	return e
}
