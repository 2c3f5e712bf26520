//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/catalyst-router/catalyst/e2e/examples/products"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// browser is a real Chromium with one tab, as a person at a desk has it.
type browser struct {
	t   *testing.T
	ctx context.Context
	axe string // the script of axe-core
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	binary, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium on the PATH: run the tests with make e2e, which installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx)) // starts the browser, which lives as long as this context
	return &browser{t: t, ctx: ctx, axe: readAxe(t)}
}

// do carries actions out, for no longer than patience lasts.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, lab.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v; the page says:\n%s", what, err, b.text())
	}
}

// text is what a person reads on the page.
func (b *browser) text() string {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// reads waits until the page says a text.
func (b *browser) reads(text string) {
	b.t.Helper()
	if err := lab.Eventually(b.ctx, "read "+text, func(context.Context) error {
		if got := b.text(); !strings.Contains(got, text) {
			return fmt.Errorf("the page says:\n%s", got)
		}
		return nil
	}); err != nil {
		b.looks("failed")
		b.t.Fatal(err)
	}
}

// follows clicks the link of a name.
func (b *browser) follows(name string) {
	b.t.Helper()
	b.clicks(fmt.Sprintf(`//a[normalize-space()=%q]`, name))
}

// presses clicks the button of a name.
func (b *browser) presses(name string) {
	b.t.Helper()
	b.clicks(fmt.Sprintf(`//button[normalize-space()=%q]`, name))
}

// clicks clicks what a path leads to, and again if the page, which is live, drew it anew in between.
func (b *browser) clicks(xpath string) {
	b.t.Helper()
	err := lab.Eventually(b.ctx, "click "+xpath, func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.Click(xpath))
	})
	if err != nil {
		b.t.Fatalf("%v; the page says:\n%s", err, b.text())
	}
}

// looks keeps screenshots of the page, light and dark, in bin/screenshots, and has axe-core judge whether people with
// screen readers, weak eyes or no mouse can use it.
func (b *browser) looks(name string) {
	b.t.Helper()
	dir := filepath.Join("..", "bin", "screenshots")
	must(b.t, os.MkdirAll(dir, 0o755))
	for _, scheme := range []string{"light", "dark"} {
		picture, err := chromedp.Run(b.ctx, func(ctx context.Context, tab *chromedp.Target) ([]byte, error) {
			if _, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
				return nil, err
			}
			return chromedp.FullScreenshot(100)(ctx, tab)
		})
		must(b.t, err)
		b.accessible(name + ", " + scheme)
		must(b.t, os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), picture, 0o600))
	}
}

// accessible wants no serious finding of axe-core.
func (b *browser) accessible(what string) {
	b.t.Helper()
	findings, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](b.axe+`;
		axe.run().then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
			.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('; ')).join('\n'))`,
		chromedp.EvalAwaitPromise))
	if must(b.t, err); findings != "" {
		b.t.Errorf("%s: %s", what, findings)
	}
}

// readAxe installs axe-core as its lock file says, and returns its script.
func readAxe(t *testing.T) string {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--prefix", "axe", "--no-audit",
		"--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	script, err := os.ReadFile("axe/node_modules/axe-core/axe.min.js")
	must(t, err)
	return string(script)
}

// Someone opens the link that catalyst web prints and finds, page by page, what the command line says: sessions,
// services with their paths, a trace, the map, Envoys, the graph, a denial and its reason; and sees at once when a
// node goes away and when the connection does.
func TestLookingGlass(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b", "--web", "127.0.0.1:0", "--policy-enforce", "on", "--policy-sample", "100",
		"--tap-enabled", "--gateway-operator", "--gateway-jwks", newIssuer(t).jwks, "--gateway-issuer",
		"https://auth.acme.example", "--gateway-audience", "mesh")
	a, b := n("a"), n("b")
	offer(t, a, "books", "one")
	graphService(t, a, "products", products.Handler())
	answers(t, b, "books", "one")
	page := openBrowser(t)
	open := func(node *lab.Node) {
		link, err := node.CLI(t.Context(), "web", "--data", filepath.Join(node.Dir, "data"))
		must(t, err)
		page.do("open", chromedp.Navigate(strings.TrimSpace(link)))
		page.reads("Live")
	}
	open(b)
	page.reads("acme.example/b")
	page.reads("2 of 2")
	page.looks("overview")
	page.follows("Nodes")
	page.reads("4 of 4")
	page.reads("every node answers, serves and has its sessions")
	page.looks("nodes")
	policies := filepath.Join(t.TempDir(), "none.cedar")
	must(t, os.WriteFile(policies, []byte(`@id("only-c") permit (principal == CATALYST::NODE::"spiffe://acme.example/node/c",
		action, resource);`), 0o600))
	_, err := a.CLI(t.Context(), "policy", "apply", policies)
	must(t, err)
	status, _, err := b.Get(t.Context(), "books.acme.example", "/books")
	if must(t, err); status != http.StatusForbidden {
		t.Fatalf("status %d, want 403", status)
	}
	page.follows("Peers")
	page.reads("Established")
	page.looks("peers")
	page.follows("acme.example/a")
	page.reads("Import: no rule")
	page.follows("Services")
	page.reads("5 of 5 services")
	page.do("search", chromedp.SendKeys(`input[type=search]`, "book"))
	page.reads("1 of 5 services")
	page.looks("services")
	page.follows("books.acme.example")
	page.reads("carries traffic")
	page.presses("Trace a call from here")
	page.reads("acme.example/a")
	page.reads("workload")
	page.looks("service")
	page.follows("On the map")
	page.reads("acme.example/b › acme.example/a")
	page.reads("Calls between nodes")
	page.looks("map")
	page.follows("Envoys")
	page.reads("Acknowledged")
	page.looks("envoys")
	page.follows("Graph")
	page.reads("products.acme.example")
	page.looks("graph")
	page.follows("Organisations")
	page.reads("No peering with another organisation")
	page.looks("organisations")
	open(a)
	page.follows("Calls")
	page.reads("b → a")
	page.do("those that were denied", chromedp.SetValue(`select[name=outcome]`, "denied"))
	page.presses("Show")
	must(t, lab.Eventually(t.Context(), "calls that went well are gone", func(context.Context) error {
		if text := page.text(); !strings.Contains(text, "denied\t403") || strings.Contains(text, "ok\t200") {
			return fmt.Errorf("the page says:\n%s", text)
		}
		return nil
	}))
	page.looks("calls")
	page.follows("why")
	page.reads("The policy that came closest")
	page.follows("Policy")
	page.reads("nothing matched")
	page.looks("policy")
	page.do("why", chromedp.Click(`//tr[contains(., "denied")]//a`))
	page.reads("only-c")
	page.looks("why")

	open(b)
	must(t, n("c").Stop(syscall.SIGINT))
	page.reads("No session with acme.example/c")
	page.follows("Nodes")
	page.reads("no way to it; acme.example/b has no session with it")
	page.follows("Overview")
	page.presses("Drain…")
	page.reads("will be asked to prefer other paths")
	page.presses("Drain")
	page.reads("yes: peers are asked to prefer other paths")
	must(t, b.Stop(syscall.SIGINT))
	page.reads("Connection lost: what is shown is")
	page.looks("lost")
}

// Whoever has no token sees nothing of the node, nor does a page of somebody else's that is made to point at it.
func TestLookingGlassIsForItsOperator(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "", "--web", "127.0.0.1:0")
	link, err := n("a").CLI(t.Context(), "web", "--data", filepath.Join(n("a").Dir, "data"))
	must(t, err)
	base, token, _ := strings.Cut(strings.TrimSpace(link), "/#token=")
	ask := func(path, host, bearer string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path,
			strings.NewReader(`{"query":"{ node { id } }"}`))
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		if req.Host = host; bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		return http.DefaultClient.Do(req)
	}
	for _, c := range []struct {
		host, token string
		want        int
	}{
		{"", token, 200}, {"", "", 401}, {"", token + "x", 401}, {"", "x" + token[1:], 401},
		{"evil.example", token, 421}, {"127.0.0.1.evil.example", token, 421}, {"localhost:80", token, 200},
	} {
		resp, err := ask("/graphql", c.host, c.token)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("Host %q, token of %d characters: %s, want %d", c.host, len(c.token), resp.Status, c.want)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); c.want == 200 && !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("the page's policy is %q", csp)
		}
	}
	log, err := os.ReadFile(filepath.Join(n("a").Dir, "node.log"))
	must(t, err)
	if strings.Contains(string(log), token) {
		t.Error("the token is in the log")
	}
}
