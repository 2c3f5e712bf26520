package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/envoy"
)

// safe is a buffer that a goroutine writes and a test reads.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The example of the documentation, as it is there but for its ports: an Envoy that Catalyst does not manage asks
// catalyst authz, which follows its files.
func TestAuthzBesideAPlainEnvoy(t *testing.T) {
	books := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "for %s", r.Header.Get("X-Catalyst-Principal"))
	}))
	t.Cleanup(books.Close)
	_, booksPort, _ := net.SplitHostPort(books.Listener.Addr().String())
	authz, http1, admin := free(t), free(t), free(t)
	dir := t.TempDir()
	policies := filepath.Join(dir, "a.cedar")
	write := func(text string) {
		if err := os.WriteFile(policies, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`@id("read") permit (principal is CATALYST::Workload, action == CATALYST::Action::"REQUEST", resource == CATALYST::Service::"books.acme.example")
		when { context.method == "GET" && context.headers.hasTag("x-tenant") };`)
	var log safe
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, []string{"authz", "--listen", "127.0.0.1:" + authz, "--headers", "x-tenant", "--poll", "100ms",
			policies}, console.IO{
			Out: io.Discard,
			Err: &log,
		}, "test")
	}()
	t.Cleanup(func() { cancel(); <-done })
	startPlainEnvoy(t, dir, strings.NewReplacer("port_value: 9901", "port_value: "+admin, "port_value: 10000",
		"port_value: "+http1, "port_value: 9191", "port_value: "+authz, "port_value: 8080", "port_value: "+booksPort))
	ask := func(method, path, tenant string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+http1+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Catalyst-Principal", `ADMIN::"root"`)
		if tenant != "" {
			req.Header.Set("X-Tenant", tenant)
		}
		resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	wait := func(method, tenant string, want int) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
			status, body := ask(method, "/", tenant)
			if status == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d %s, want %d\n%s", method, status, body, want, log.String())
			}
		}
	}
	wait("GET", "7", 200)
	if _, body := ask("GET", "/", "7"); body != `for Workload::"local"` {
		t.Errorf("got %s", body)
	}
	for name, tt := range map[string]struct {
		method, path, tenant string
		want                 int
	}{"another method": {"POST", "/", "7", 403}, "no header": {"GET", "/", "", 403},
		"an escaped slash": {"GET", "/a%2fb", "7", 400}, "a parameter": {"GET", "/a;b", "7", 403}} {
		if status, body := ask(tt.method, tt.path, tt.tenant); status != tt.want {
			t.Errorf("%s: %d %s, want %d", name, status, body, tt.want)
		}
	}
	write(`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.metod == "GET" };`)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(log.String(),
		"are not taken"); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(log.String())
		}
	}
	wait("GET", "7", 200)
	write(`@id("write") permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "POST" };`)
	wait("GET", "7", 403)
	wait("POST", "", 200)
	cancel()
	wait("POST", "", 503)
}

// startPlainEnvoy runs an Envoy with the example's configuration.
func startPlainEnvoy(t *testing.T, dir string, ports *strings.Replacer) {
	t.Helper()
	example, err := os.ReadFile("../../../e2e/examples/authz/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(config, []byte(ports.Replace(string(example))), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := envoy.Find("")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn")
	var out safe
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
}
