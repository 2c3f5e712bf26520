package judge

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/catalyst-router/catalyst/policy"
)

func open(t *testing.T, dir string) *Judge {
	t.Helper()
	j, err := Open(t.Context(), Config{
		Data:   dir,
		Log:    slog.New(slog.DiscardHandler),
		Meter:  noop.NewMeterProvider().Meter("test"),
		Sample: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func source(text string) policy.Source {
	return policy.Source{Policies: []policy.Document{{Name: "a.cedar", Text: text}}}
}

// What is applied is in force at once and after a restart; what is not valid changes nothing; any version comes back.
func TestApplyRestartRollback(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if snap, version := j.Current(); snap == nil || version != 0 {
		t.Fatalf("at first: %v, %d", snap, version)
	}
	one, two := source(`@id("one") permit (principal, action, resource is CATALYST::Service);`),
		source(`@id("two") forbid (principal, action, resource);`)
	for i, src := range []policy.Source{one, two} {
		if v, err := j.Apply(t.Context(), src, "joe", "", false); err != nil || v.Number != i+1 {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	var problems policy.Problems
	if _, err := j.Apply(t.Context(), source(`permit (`), "joe", "", false); !errors.As(err, &problems) {
		t.Errorf("a bad set: %v", err)
	}
	_ = j.Close()
	j = open(t, dir)
	if snap, version := j.Current(); version != 2 || snap.Text("two") == "" {
		t.Errorf("after a restart: version %d", version)
	}
	if v, err := j.Rollback(t.Context(), 1, "ann", ""); err != nil || v.Number != 3 || v.Note != "back to version 1" {
		t.Errorf("%+v, %v", v, err)
	}
	if snap, _ := j.Current(); snap.Text("one") == "" || snap.Text("two") != "" {
		t.Error("the rollback is not in force")
	}
	if _, err := j.Rollback(t.Context(), 9, "ann", ""); err == nil {
		t.Error("a version that there is not is in force")
	}
	if all, err := j.Versions(t.Context(), 10); err != nil || len(all) != 3 || all[0].By != "ann" {
		t.Errorf("%+v, %v", all, err)
	}
}

// A refused order is kept with its id, and explained as a denied call is: by the policy that came closest, or by why
// no policy was asked.
func TestRefusedOrdersAreExplained(t *testing.T) {
	j := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx, nil) }()
	o := policy.Order{
		Bearer: policy.Bearer{Principal: "USER", Subject: "joe", TrustedDomains: []string{"bravo.example"}},
		Action: "PEER_LIST", Kind: "Peer", ID: "acme.example/b", Node: "a", Domain: "acme.example",
	}
	denied, refused := j.Order(o), j.Refuse(o, errors.New("the token is not bound"))
	cancel() // what was decided is written then
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r, why, err := j.Why(t.Context(), denied.ID)
	if err != nil || r.Action() != "PEER_LIST" || r.Resource() != `Peer::"acme.example/b"` ||
		why.Nearest == nil || why.Nearest.Policy != "user" || !strings.Contains(why.Nearest.Failed, "trustedDomains") {
		t.Errorf("%+v, %+v, %v", r, why, err)
	}
	if r, _, err = j.Why(t.Context(), refused.ID); err != nil || r.Decision.Allow ||
		!slices.Equal(r.Decision.Errors, []string{"the token is not bound"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A set that a later program does not take any more permits nothing, and does not keep the node from its start.
func TestSetThatIsNotValidAnyMore(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if _, err := j.store.Apply(t.Context(), source(`permit (`), "h", "joe", "", time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	j = open(t, dir)
	if snap, _ := j.Current(); snap != nil {
		t.Error("something is in force")
	}
	if d := j.engine.Decide(policy.Call{
		Service:      "books.acme.example",
		Organisation: "acme.example",
		Method:       "GET",
	}.Request()); d.Allow {
		t.Error("something is permitted")
	}
}
