package server_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// TestMain lets this binary be the service that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CRASH_DIR"); dir != "" {
		do := func() error { return busy(dir) }
		if order := os.Getenv("CRASH_ORDER"); order != "" {
			do = func() error { return killedAt(dir, order) }
		}
		if err := do(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// busy mints, revokes and rotates without end, and says of each act that it is done when it was answered.
func busy(dir string) error {
	ctx := context.Background()
	svc, err := crashService(ctx, dir)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		raw, c, err := svc.Mint(ctx, service.Owner(), service.MintRequest{Principal: token.User, Subject: "ada"})
		if err != nil {
			return err
		}
		fmt.Println("minted", c.ID, len(raw))
		if i%2 == 0 {
			if err := svc.Revoke(ctx, service.Owner(), "jti", c.ID, ""); err != nil {
				return err
			}
			fmt.Println("revoked", c.ID)
		}
		if i%5 == 0 {
			ring, err := svc.RotateKeys(ctx, service.Owner(), keys.How{Immediate: true})
			if err != nil {
				return err
			}
			fmt.Println("rotated", ring.Current().ID())
		}
		if _, _, err := svc.JoinToken(ctx, service.Owner(), fmt.Sprint("n", i), 0); err != nil {
			return err
		}
		fmt.Println("joining", fmt.Sprint("n", i))
	}
}

// crashed is where the store of a directory is: in the PostgreSQL that a file names, or beside that.
func crashed(dir string) string {
	where, err := os.ReadFile(filepath.Join(dir, "where"))
	if err != nil {
		return filepath.Join(dir, "auth.db")
	}
	return string(where)
}

func crashService(ctx context.Context, dir string, options ...store.Option) (*service.Service, error) {
	st, err := store.Open(ctx, crashed(dir), options...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = st.Close() })
	sealer, err := seal.FromFile(filepath.Join(dir, "seal.key"), true)
	if err != nil {
		return nil, err
	}
	root, err := ca.NewRoot(org, ca.RootLife)
	if err != nil {
		return nil, err
	}
	return service.New(ctx, service.Config{
		Org: org, Store: st, Sealer: sealer, Authority: root, Address: "127.0.0.1:1", Log: slog.New(slog.DiscardHandler),
	})
}

// TestKilled kills the service again and again, wherever it is at the time: what was answered is there, the keys
// open, and the audit log is whole and has all of it.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	acts := map[string][]string{}
	for round := range 6 {
		self := exec.CommandContext(t.Context(), os.Args[0])
		self.Env = append(os.Environ(), "CRASH_DIR="+dir)
		out, err := self.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := self.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			act, what, _ := strings.Cut(lines.Text(), " ")
			what, _, _ = strings.Cut(what, " ")
			acts[act] = append(acts[act], what)
			if n == 7+5*round { // each time somewhere else; what is printed until it dies counts as well
				if err := self.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = self.Wait()
		standing(t, dir, acts)
	}
	if len(acts["minted"]) < 20 || len(acts["rotated"]) < 6 {
		t.Errorf("it did too little to be killed at: %v", acts)
	}
}

// standing looks at what a killed service left.
func standing(t *testing.T, dir string, acts map[string][]string) {
	t.Helper()
	svc, err := crashService(t.Context(), dir)
	if err != nil {
		t.Fatalf("it does not start again: %v", err)
	}
	st := openCrashed(t, dir)
	audited := map[string]bool{}
	for _, e := range auditOf(t, st) {
		audited[e.Action+" "+e.Target] = true
	}
	for _, id := range acts["minted"] {
		if got, err := st.Token(t.Context(), id); err != nil || got == nil || !audited["token.mint "+id] {
			t.Errorf("token %s was answered, and is not there: %v %v", id, got, err)
		}
	}
	for _, id := range acts["revoked"] {
		c := &token.Claims{ID: id, Issuer: svc.Issuer()}
		if token.ReasonOf(svc.Revocations().Check(c, time.Now())) != token.Revoked || !audited["token.revoke jti "+id] {
			t.Errorf("token %s was revoked, and passes", id)
		}
	}
	for _, node := range acts["joining"] {
		if !audited["join.token "+node] {
			t.Errorf("a join token of %s is not recorded", node)
		}
	}
	rotated := acts["rotated"]
	if n := len(rotated); n > 0 && !audited["keys.rotate "+rotated[n-1]] {
		t.Error("a rotation is not recorded")
	}
	if _, _, err := st.VerifyAudit(t.Context(), 0, ""); err != nil {
		t.Error(err)
	}
}

func openCrashed(t *testing.T, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), crashed(dir))
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(t.Context(), func() { _ = st.Close() })
	return st
}

// auditOf returns every entry of a store's audit log.
func auditOf(t *testing.T, st *store.Store) (all []store.Entry) {
	t.Helper()
	for after := int64(0); ; after = all[len(all)-1].Seq {
		page, err := st.Audit(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}
