//go:build interop

package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/token"
)

// The SPIFFE libraries of Java and Rust read what we write: roots, SVIDs, key sets and tokens. Neither takes the
// SPIFFE bundle, whose keys of certificates have no kid, as its specification has it: a key set stands beside it.
func TestSPIFFELibraries(t *testing.T) {
	dir := documents(t)
	want := map[string]string{
		"roots.der": "2", "svid": "spiffe://acme.example/node/edge-1", "jwks.json": "2", "bundle.json": "refused",
		"good": "spiffe://acme.example/user/ada", "another audience": "refused", "expired": "refused",
		"unknown key": "refused", "not ours": "refused",
	}
	for _, l := range []struct {
		name    string
		command []string
		more    map[string]string
	}{
		{"java", []string{"mvn", "-q", "-B", "-Dstyle.color=never", "compile",
			"org.codehaus.mojo:exec-maven-plugin:3.5.0:java",
			"-Dexec.mainClass=Reader", "-Dexec.args=" + dir},
			map[string]string{"roots.pem": "2", "svid by its roots": "ok"}},
		{"rust", []string{"cargo", "run", "--quiet", "--locked", "--", dir}, nil},
	} {
		t.Run(l.name, func(t *testing.T) {
			want := maps.Clone(want)
			maps.Copy(want, l.more)
			got := answers(t, l.name, l.command)
			for name, w := range want {
				if got[name] != w {
					t.Errorf("%s: %q, want %q", name, got[name], w)
				}
			}
		})
	}
}

// answers runs a reader, whose packages are got first if they are not there.
func answers(t *testing.T, dir string, command []string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the reader in %s (it wants %s): %v\n%s%s", dir, command[0], err, out, stderr.String())
	}
	t.Logf("what it refuses:\n%s", stderr.String())
	got := map[string]string{}
	for line := range strings.Lines(strings.ReplaceAll(string(out), "\x1b[0m", "")) { // Maven's, in every mode
		name, answer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		got[name] = answer
	}
	return got
}

// documents writes what an organisation and a node of it hand out, with two roots and two keys, as in a rotation.
func documents(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var roots []byte
	for _, name := range []string{"former", "ca"} {
		must(disk.InitCA(filepath.Join(dir, name), "acme.example"))
		a, err := disk.LoadCA(filepath.Join(dir, name))
		must(err)
		roots = append(roots, a.Roots()...)
		if name == "ca" {
			_, _, err = disk.IssueNode(a, filepath.Join(dir, "node"), "edge-1", time.Hour)
			must(err)
		}
	}
	write("roots.pem", roots)
	write("roots.der", der(roots))
	for from, to := range map[string]string{disk.SVIDFile: "svid", disk.SVIDKey: "key"} {
		text, err := os.ReadFile(filepath.Join(dir, "node", from))
		must(err)
		write(to+".pem", text)
		write(to+".der", der(text))
	}
	signers := make([]*token.Signer, 3) // the last is of a key that nobody knows
	for i := range signers {
		private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		must(err)
		signers[i], err = token.NewSigner(private)
		must(err)
	}
	jwks, err := token.WriteJWKS([]*token.Key{signers[0].Key(), signers[1].Key()})
	must(err)
	write("jwks.json", jwks)
	keys, err := token.ParseJWKS(jwks, token.ES384)
	must(err)
	b, err := bundle.FromPEM("acme.example", roots, keys)
	must(err)
	text, err := b.Marshal()
	must(err)
	write("bundle.json", text)
	now := time.Now()
	mint := func(name string, s *token.Signer, audience string, life time.Duration) string {
		t.Helper()
		raw, err := s.Sign(&token.Claims{
			ID: "1", Issuer: "https://auth.acme.example", Subject: "spiffe://acme.example/user/ada",
			Audience: []string{audience}, IssuedAt: now.Add(-2 * time.Hour), Expires: now.Add(life), Principal: token.User,
			Entity: token.Entity{ID: "ada", Name: "Ada", Type: "user"}, Bound: token.Thumbprint{1},
		})
		must(err)
		write(name+".jwt", []byte(raw))
		return raw
	}
	good := mint("good", signers[0], "acme.example", time.Hour)
	mint("another audience", signers[0], "bravo.example", time.Hour)
	mint("expired", signers[0], "acme.example", -time.Hour)
	mint("unknown key", signers[2], "acme.example", time.Hour)
	write("not ours.jwt", []byte(good[:len(good)-4]+"AAAA"))
	return dir
}

// der is what blocks of PEM hold, one after the other.
func der(text []byte) (all []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, block.Bytes...)
	}
	return all
}
