package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const (
	overrideFrom = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@override"])
type Query { n(x: Int): Int w: Int z: Int h(x: Int): Int named: Int }`
	overrideTo = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@override"])
type Query {
  n(x: Int): Int @override(from: "old", label: "percent(25)")
  w: Int @override(from: "old", label: "percent(100)")
  z: Int @override(from: "old", label: "percent(0)")
  h(x: Int): Int @override(from: "old", label: "percent(60)")
  named: Int @override(from: "old", label: "new-names")
}`
)

// questions are what subgraphs were asked.
type questions struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (q *questions) add(what string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, what)
}

// take returns what was asked since it was called last.
func (q *questions) take() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := strings.Join(q.all, " ")
	q.all = nil
	return got
}

func asked(name, sdl string, log *questions) fake {
	return fake{name, sdl, func(_ *http.Request, query string) string {
		for _, f := range []string{"n", "w", "z", "h", "named"} {
			if strings.Contains(query, "{"+f+"}") || strings.Contains(query, "{"+f+"(") || strings.Contains(query, " "+f) {
				log.add(name + "." + f)
			}
		}
		return `{"data":{"n":1,"w":1,"z":1,"h":1,"named":1}}`
	}}
}

// TestLabels: a percentage decides where a field is asked, the same way for equal requests, and the configuration
// goes before it.
func TestLabels(t *testing.T) {
	var log questions
	ask := func(g *Gateway, query, variables string) string {
		log.take()
		if w := post(t, g, fmt.Sprintf(`{"query":%q,"variables":{%s}}`, query, variables)); w.Code != 200 ||
			strings.Contains(w.Body.String(), "errors") {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return log.take()
	}
	g := serving(t, Config{}, asked("old", overrideFrom, &log), asked("new", overrideTo, &log))
	for query, want := range map[string]string{"{w}": "new.w", "{z}": "old.z", "{named}": "old.named"} {
		if got := ask(g, query, ""); got != want {
			t.Errorf("%s asks %s, want %s", query, got, want)
		}
	}
	quarter, nested := 0, 0
	for i := range 1000 {
		vars := fmt.Sprintf(`"x":%d`, i)
		got := ask(g, "query($x:Int){n(x:$x) h(x:$x)}", vars)
		if again := ask(g, "query($x:Int){n(x:$x) h(x:$x)}", vars); again != got && !sameSet(again, got) {
			t.Fatalf("an equal request asks %s, and then %s", got, again)
		}
		if strings.Contains(got, "new.n") {
			quarter++
			if !strings.Contains(got, "new.h") {
				nested++
			}
		}
	}
	if quarter < 190 || quarter > 310 {
		t.Errorf("percent(25) is on for %d of 1000 requests", quarter)
	}
	if nested > 0 {
		t.Errorf("%d requests are in 25 percent and not in 60 percent", nested)
	}
	forced := serving(t, Config{Labels: map[string]bool{"percent(100)": false, "percent(0)": true, "new-names": true}},
		asked("old", overrideFrom, &log), asked("new", overrideTo, &log))
	for query, want := range map[string]string{"{w}": "old.w", "{z}": "new.z", "{named}": "new.named"} {
		if got := ask(forced, query, ""); got != want {
			t.Errorf("forced: %s asks %s, want %s", query, got, want)
		}
	}
}

func sameSet(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) == 2 && len(y) == 2 && x[0] == y[1] && x[1] == y[0]
}
