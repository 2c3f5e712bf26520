package extauthz

import (
	"log/slog"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/policy"
)

// What was let through is decided anew as of now: by its token, by the policies, and again later where they look at
// the clock. What cannot be decided at the moment ends nothing.
func TestAgain(t *testing.T) {
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	compile := func(text string) *policy.Snapshot {
		s, err := policy.Compile(policy.Source{Policies: []policy.Document{{Name: "t", Text: text}}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	byDay := compile(`@id("by-day") permit (principal, action == CATALYST::Action::"REQUEST", resource)
		when { context.hour < 18 };`)
	joe := compile(`@id("joe") permit (principal == CATALYST::USER::"joe", action, resource is CATALYST::Service);`)
	for name, tt := range map[string]struct {
		snap  *policy.Snapshot
		token string
		at    time.Time
		want  Standing
	}{
		"it may still":              {byDay, "", noon, Standing{Good: true, Until: noon.Add(lookAgain)}},
		"the hour is over":          {byDay, "", noon.Add(7 * time.Hour), Standing{}},
		"the token's bearer may":    {joe, "good", noon, Standing{Good: true}},
		"without it nobody may":     {joe, "", noon, Standing{}},
		"the token is not good":     {byDay, "bad", noon, Standing{Token: true}},
		"nobody knows of the token": {byDay, "later", noon, Standing{Good: true, Until: noon.Add(lookAgain)}},
		"no policies are in force":  {nil, "", noon, Standing{Good: true}},
	} {
		var engine policy.Engine
		engine.Publish(tt.snap)
		var kept []policy.Record
		s := New(Config{
			Engine: &engine, Log: slog.New(slog.DiscardHandler), Tokens: &tokens{}, Now: func() time.Time { return tt.at },
			TimeMatters: func() bool { return engine.Snapshot() != nil && engine.Snapshot().UsesTime() },
			Record:      func(r policy.Record) { kept = append(kept, r) },
		})
		got := s.Again(t.Context(), Held{ID: "first", Token: tt.token, Call: policy.Call{
			Service: "books.acme.example", Organisation: "acme.example", Method: "GET", Path: "/", Time: noon,
		}})
		if got.Good != tt.want.Good || got.Token != tt.want.Token || !got.Until.Equal(tt.want.Until) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
		if ended := len(kept) == 1 && kept[0].Ends == "first" && kept[0].ID == got.Record.ID; ended == got.Good {
			t.Errorf("%s: recorded %+v", name, kept)
		}
	}
}
