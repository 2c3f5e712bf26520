package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiserver answers as a kube-apiserver does, as far as Follow asks; the real one is asked by make kubernetes.
type apiserver struct {
	mu      sync.Mutex
	refuses bool                                // guarded by mu
	streams map[http.ResponseWriter]chan string // guarded by mu
	began   chan struct{}                       // somebody watches
}

func (a *apiserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	refuses := a.refuses
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch q := r.URL.Query(); {
	case refuses:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"services is forbidden"}`)
	case q.Get("watch") == "":
		fmt.Fprintf(w, `{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[%s]}`, object("a"))
	case q.Get("sendInitialEvents") != "": // as kube-apiservers of before 1.27
		w.WriteHeader(http.StatusBadRequest)
	default:
		events := make(chan string)
		a.mu.Lock()
		a.streams[w] = events
		a.mu.Unlock()
		w.(http.Flusher).Flush()
		a.began <- struct{}{}
		for {
			select {
			case <-r.Context().Done():
				return
			case e, ok := <-events:
				if !ok {
					panic(http.ErrAbortHandler)
				}
				fmt.Fprintln(w, e)
				w.(http.Flusher).Flush()
			}
		}
	}
}

// send sends to whoever watches, or breaks their connections with "".
func (a *apiserver) send(event string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for w, s := range a.streams {
		if event == "" {
			close(s)
			delete(a.streams, w)
			continue
		}
		s <- event
	}
}

func object(name string) string {
	return fmt.Sprintf(`{"kind":"Service","apiVersion":"v1","metadata":{"namespace":"shop","name":%q,"resourceVersion":"2"},
		"spec":{"ports":[{"port":80}]}}`, name)
}

// kubeconfig writes one.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "x",
		"clusters": []any{map[string]any{"name": "x", "cluster": map[string]any{"server": server}}},
		"contexts": []any{map[string]any{"name": "x", "context": map[string]any{"cluster": "x", "namespace": "shop"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Objects are listed, and then watched. While the kube-apiserver refuses or does not answer, what was known stays, and
// All says so; they are followed on once it answers again.
func TestFollow(t *testing.T) {
	a := &apiserver{streams: map[http.ResponseWriter]chan string{}, refuses: true, began: make(chan struct{}, 10)}
	srv := httptest.NewServer(a)
	defer srv.Close()
	c, err := Connect(kubeconfig(t, srv.URL))
	if err != nil || c.Namespace() != "shop" {
		t.Fatal(c, err)
	}
	changed := make(chan struct{}, 1)
	o := Follow(c, Services(), "", "", func(s Service) (Service, bool) { return s, s.Name != "none" }, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	want := func(wanted string) {
		t.Helper()
		var got string
		for deadline := time.After(20 * time.Second); ; {
			all, err := o.All()
			got = ""
			for _, s := range all {
				got += fmt.Sprintf("%s:%d ", s.Name, s.Spec.Ports[0].Port)
			}
			if err != nil {
				got += err.Error()
			}
			if strings.Contains(got, wanted) {
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("got %q, want %q", got, wanted)
			}
		}
	}
	want("has not answered yet")
	done := make(chan struct{})
	go func() { defer close(done); o.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	want("docs/kubernetes.md says which rights the node wants")
	a.mu.Lock()
	a.refuses = false
	a.mu.Unlock()
	want("a:80 ")
	<-a.began
	a.send(`{"type":"ADDED","object":` + object("b") + `}`)
	a.send(`{"type":"ADDED","object":` + object("none") + `}`)
	want("a:80 b:80 ")
	a.send(`{"type":"DELETED","object":` + object("a") + `}`)
	want("b:80 ")
	a.mu.Lock()
	a.refuses = true
	a.mu.Unlock()
	a.send("")
	want("b:80 services is forbidden")
}

// A node that is told to look into a cluster and is in none does not start.
func TestConnectRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Connect(""); err == nil || !strings.Contains(err.Error(), "kubernetes.kubeconfig") {
		t.Error(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	if _, err := Connect(none); err == nil || !strings.Contains(err.Error(), "kubernetes.kubeconfig") {
		t.Error(err)
	}
}
