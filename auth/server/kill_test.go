package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/postgres"
)

// order is one act that a service is killed at: everything that the act needs, made before.
type order struct {
	Act        string
	Step       int    // the service is killed before this statement of the act, counted from 1
	Node       string // of join, renew and revoke-node
	Secret     []byte
	Key        []byte // PKCS#8
	Continuity []byte
	ID         string // a jti
}

// answer is what the act returned.
type answer struct {
	Token, ID string
	Chain     []byte
}

// killedAt is the process that is killed: it does one order, and says what was answered.
func killedAt(dir, text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx, began, n := context.Background(), false, 0
	svc, err := crashService(ctx, dir, store.Steps(func(string) error {
		if began {
			if n++; n == o.Step {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		return nil
	}))
	if err != nil {
		return err
	}
	began = true
	out, err := o.do(ctx, svc)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// do carries the order out.
func (o *order) do(ctx context.Context, svc *service.Service) (out answer, err error) {
	owner := service.Owner()
	switch o.Act {
	case "mint":
		var c *token.Claims
		if out.Token, c, err = svc.Mint(ctx, owner, service.MintRequest{Principal: token.User, Subject: "ada"}); err == nil {
			out.ID = c.ID
		}
	case "revoke":
		return answer{ID: o.ID}, svc.Revoke(ctx, owner, revoke.Token, o.ID, "")
	case "join":
		return o.join(ctx, svc)
	case "renew":
		return o.renew(ctx, svc)
	case "revoke-node":
		return out, svc.RevokeNode(ctx, owner, o.Node, "")
	case "keys":
		_, err = svc.RotateKeys(ctx, owner, keys.How{Immediate: true})
	case "root at once":
		err = svc.RotateCA(ctx, owner, true, false)
	case "root by phases":
		if err = svc.RotateCA(ctx, owner, false, false); err == nil {
			err = service.Care(ctx, svc) // no node is there to wait for
		}
	}
	return out, err
}

func (o *order) keyAndRequest() (*x509.Certificate, []byte, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(o.Key)
	if err != nil {
		return nil, nil, err
	}
	key := parsed.(*ecdsa.PrivateKey)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	self, err := x509.ParseCertificate(der)
	return self, csr, err
}

func (o *order) join(ctx context.Context, svc *service.Service) (answer, error) {
	self, csr, err := o.keyAndRequest()
	if err != nil {
		return answer{}, err
	}
	out, err := svc.Join(ctx, service.JoinRequest{Org: org, Node: o.Node, Secret: o.Secret, CSR: csr, Key: self})
	if err != nil {
		return answer{}, err
	}
	return answer{Token: out.Token, Chain: out.Chain}, nil
}

func (o *order) renew(ctx context.Context, svc *service.Service) (answer, error) {
	self, csr, err := o.keyAndRequest()
	if err != nil {
		return answer{}, err
	}
	out, err := svc.Renew(ctx, service.RenewRequest{Node: bgp.NodeID{Org: org, Name: o.Node}, Leaf: self, CSR: csr,
		Continuity: o.Continuity})
	if err != nil {
		return answer{}, err
	}
	return answer{Token: out.Token, Chain: out.Chain}, nil
}

// prepare makes what an order needs.
func (o *order) prepare(t *testing.T, svc *service.Service) {
	t.Helper()
	switch o.Act {
	case "root at once", "root by phases": // one root, and none before it
		if err := svc.RotateCA(t.Context(), service.Owner(), true, true); err != nil {
			t.Fatal(err)
		}
	case "revoke":
		_, c, err := svc.Mint(t.Context(), service.Owner(), service.MintRequest{Principal: token.User, Subject: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		o.ID = c.ID
	case "join", "renew", "revoke-node":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if o.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
		o.Node = fmt.Sprintf("n%d-%.3s", o.Step, o.Act)
		text, _, err := svc.JoinToken(t.Context(), service.Owner(), o.Node, 0)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := join.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Secret = tok.Secret
		if o.Act == "join" {
			return
		}
		self, csr, err := o.keyAndRequest()
		if err != nil {
			t.Fatal(err)
		}
		out, err := svc.Join(t.Context(), service.JoinRequest{Org: org, Node: o.Node, Secret: o.Secret, CSR: csr, Key: self})
		if err != nil {
			t.Fatal(err)
		}
		o.Continuity = out.Continuity
	}
}

// TestKilledAtEveryWrite kills the service, a process of its own, before each statement of each of its acts, before
// the commits and after them. Whatever it had not recorded was not answered, whatever was answered is there, and the
// act can be done again.
func TestKilledAtEveryWrite(t *testing.T) {
	all := []string{"root by phases", "mint", "revoke", "join", "renew", "revoke-node", "keys", "root at once"}
	few := []string{"root by phases", "join", "keys"} // the statements are the same; what commits is another database
	for name, where := range map[string]string{"SQLite": "", "PostgreSQL": postgres.Start(t).Database(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acts := all
			if where != "" {
				acts = few
			}
			if testing.Short() { // a process that is killed races with nobody
				acts = few[1:2]
			}
			dir := t.TempDir()
			if where != "" {
				if err := os.WriteFile(filepath.Join(dir, "where"), []byte(where), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, act := range acts {
				steps := 0
				for killed := true; killed; steps++ {
					o := order{Act: act, Step: steps + 1}
					killed = o.killed(t, dir)
				}
				if steps < 5 {
					t.Errorf("%s: killed at %d steps, want at least 4", act, steps-1)
				}
				t.Logf("%s: killed at %d steps", act, steps-1)
			}
		})
	}
}

// killed runs an order in a process that is killed at its step, looks at what is left, and does it again. It returns
// false if there is no such step.
func (o *order) killed(t *testing.T, dir string) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	svc, err := crashService(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	o.prepare(t, svc)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self := exec.CommandContext(t.Context(), os.Args[0])
	self.Env = append(os.Environ(), "CRASH_DIR="+dir, "CRASH_ORDER="+string(text))
	var complaint bytes.Buffer
	self.Stderr = &complaint
	stdout, err := self.Output()
	exit, died := errors.AsType[*exec.ExitError](err)
	if err != nil && (!died || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Fatalf("%s at %d: %v %s", o.Act, o.Step, err, &complaint)
	}
	var out *answer
	if len(stdout) > 0 {
		out = &answer{}
		if err := json.Unmarshal(stdout, out); err != nil {
			t.Fatal(err)
		}
	}
	o.consistent(t, dir, out)
	if !died {
		return false
	}
	if svc, err = crashService(ctx, dir); err != nil {
		t.Fatal(err)
	}
	again, err := o.do(t.Context(), svc)
	if e, ok := errors.AsType[*service.Error](err); ok && e.Code == service.Conflict && o.Act == "root by phases" {
		err = service.Care(t.Context(), svc) // it is under way, and goes on by itself
	}
	if err != nil {
		t.Errorf("%s, killed at %d, done again: %v", o.Act, o.Step, err)
		return true
	}
	if o.Step%3 == 0 {
		o.consistent(t, dir, &again)
	}
	return true
}

// consistent holds what the store says against itself, and against what was answered, if something was.
func (o *order) consistent(t *testing.T, dir string, out *answer) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s, killed at %d: "+format, append([]any{o.Act, o.Step}, args...)...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	svc, err := crashService(ctx, dir)
	if err != nil {
		t.Fatalf("it does not start again: %v", err)
	}
	st := openCrashed(t, dir)
	defer st.Close() //nolint:errcheck // it was read from
	if _, _, err := st.VerifyAudit(ctx, 0, ""); err != nil {
		fail("the audit log: %v", err)
	}
	audited := map[string]bool{}
	for _, e := range auditOf(t, st) {
		audited[e.Action+" "+e.Target] = true
	}
	tokens := map[string]bool{}
	for after := ""; ; {
		page, err := st.Tokens(ctx, store.TokenFilter{After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page {
			tokens[k.ID], after = true, k.ID
			if !audited["token.mint "+k.ID] {
				fail("token %s is in no audit entry", k.ID)
			}
		}
		if len(page) == 0 {
			break
		}
	}
	nodes, err := st.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		certs, err := st.Certificates(ctx, bgp.NodeID{Org: org, Name: n.Name}.URI(), time.Now())
		if err != nil || len(certs) == 0 || certs[0].Serial != n.Serial && certs[len(certs)-1].Serial != n.Serial {
			fail("the certificate of %s is not recorded: %v", n.Name, err)
		}
	}
	o.oneRoot(t, svc, fail)
	if out == nil {
		return
	}
	if out.Token != "" {
		var leaf token.Thumbprint
		if block, _ := pem.Decode(out.Chain); block != nil {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			leaf = token.ThumbprintOf(cert)
			certs, err := st.Certificates(ctx, cert.URIs[0].String(), time.Now())
			if err != nil || len(certs) == 0 {
				fail("a certificate was answered and is not recorded: %v", err)
			}
		}
		c, err := svc.Verifier().Verify(ctx, out.Token, leaf)
		if err != nil || !tokens[c.ID] {
			fail("a token was answered and is not good: %v", err)
		}
	}
	if o.Act == "revoke" && token.ReasonOf(svc.Revocations().Check(&token.Claims{ID: o.ID, Issuer: svc.Issuer()},
		time.Now())) != token.Revoked {
		fail("a token was revoked, and passes")
	}
	if o.Act == "revoke-node" && !audited["node.revoke "+o.Node] {
		fail("a revoked node is not audited")
	}
}

// oneRoot says that one authority signs, and that whoever knows a former root is led to it.
func (o *order) oneRoot(t *testing.T, svc *service.Service, fail func(string, ...any)) {
	t.Helper()
	current := ""
	for _, k := range svc.Authorities() {
		if k.Slot == string(keys.Current) {
			if current != "" {
				fail("two authorities sign")
			}
			current = k.ID
		}
	}
	for _, k := range svc.Authorities() {
		steps, err := svc.Successions(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		if k.Slot != string(keys.Retired) {
			continue
		}
		block, _ := pem.Decode([]byte(k.Chain))
		known, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		last, err := join.FollowRoots(known, steps, time.Now())
		if err != nil || !bytes.Contains(svc.Roots(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: last.Raw})) {
			fail("a former root leads nowhere: %v", err)
		}
	}
}
