package identity

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
)

// A voucher is good once, for its request, from a node of the organisation.
func TestVouchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir := bundle(t)
		bravoDir := t.TempDir()
		if err := disk.InitCA(filepath.Join(bravoDir, "ca"), "bravo.example"); err != nil {
			t.Fatal(err)
		}
		bravo, err := disk.LoadCA(filepath.Join(bravoDir, "ca"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := disk.IssueNode(bravo, filepath.Join(bravoDir, "x"), "x", time.Hour); err != nil {
			t.Fatal(err)
		}
		// a knows the roots of bravo, and its nodes vouch for nobody here all the same.
		if err := disk.Replace(filepath.Join(dir, disk.BundleFile("bravo.example")), bravo.Roots(), 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := Open(filepath.Join(bravoDir, "x"))
		if err != nil {
			t.Fatal(err)
		}
		const audience = "b.nodes.acme.example"
		body := []byte(`{"query":"{ node { id } }"}`)
		vouch := func(s *Source) string {
			text, err := s.Vouch("ada", audience, body)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		v := NewVouchers(src)
		good := vouch(src)
		got, err := v.Verify(good, audience, body)
		if err != nil || got.Caller != "ada" || got.Node != src.Material().Node {
			t.Fatalf("%+v, %v", got, err)
		}
		refused := func(name, text, audience string, body []byte, want string) {
			t.Helper()
			if got, err := v.Verify(text, bgp.Service(audience), body); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %+v, %v, want %q", name, got, err, want)
			}
		}
		refused("a second use", good, audience, body, "used before")
		refused("another service", vouch(src), "c.nodes.acme.example", body, "it is for")
		refused("another request", vouch(src), audience, []byte("{}"), "another request")
		refused("another organisation", vouch(stranger), audience, body, "no node of acme.example")
		parts := strings.Split(vouch(src), ".")
		claims, _ := base64.RawURLEncoding.DecodeString(parts[0])
		parts[0] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), "ada", "eve", 1)))
		refused("another caller", strings.Join(parts, "."), audience, body, "signature")
		refused("nonsense", "a.b", audience, body, "want a statement")
		old := vouch(src)
		time.Sleep(voucherLife + voucherSkew) // of the bubble
		refused("too late", old, audience, body, "clocks")
		_ = a
	})
}
