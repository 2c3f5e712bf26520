package operator

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type anybody struct{}

func (anybody) Authorize(context.Context, Request) error { return nil }

// endless is a body of 32 MiB, and counts what was read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 32<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'a'
	}
	e.read += int64(len(p))
	return len(p), nil
}

// TestLargestRequest: whoever holds a token can't make the node hold more than a request may have.
func TestLargestRequest(t *testing.T) {
	h := Handler(nil, anybody{}, LargestQuery)
	for _, accept := range []string{"application/json", "text/event-stream"} {
		body := &endless{}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql",
			io.MultiReader(strings.NewReader(`{"query":"`), body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if body.read > 2*LargestQuery || w.Code == http.StatusOK && !strings.Contains(w.Body.String(), "errors") {
			t.Errorf("%s: %d bytes were read, status %d: %.200s", accept, body.read, w.Code, w.Body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql",
		strings.NewReader(`{"query":"{`+strings.Repeat(" __typename", mostTokens)+`}"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), "token limit") {
		t.Errorf("too many tokens: %.200s", w.Body)
	}
}
