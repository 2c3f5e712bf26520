package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/e2e/postgres"
)

// world is a kind of store: each call of fresh makes the place of another one.
type world struct {
	name  string
	fresh func(t *testing.T) (where string)
}

func worlds(t *testing.T) []world {
	t.Helper()
	cluster := postgres.Start(t)
	return []world{
		{"SQLite", func(t *testing.T) string { return filepath.Join(t.TempDir(), "auth.db") }},
		{"PostgreSQL", func(t *testing.T) string { return cluster.Database(t) }},
	}
}

func open(t *testing.T, where string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s *store.Store, do func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), store.Entry{Actor: "test", Action: "test.write"}, do); err != nil {
		t.Fatal(err)
	}
}

var now = time.UnixMilli(1_800_000_000_123)

// TestStores is what every kind of store has to do.
func TestStores(t *testing.T) {
	for _, w := range worlds(t) {
		t.Run(w.name, func(t *testing.T) {
			for name, test := range map[string]func(t *testing.T, where string){
				"records come back": recordsComeBack, "a refused change leaves nothing": refusedChange,
				"redeemed once": redeemedOnce,
				"two replicas":  twoReplicas, "opened by many at once": openedAtOnce, "the audit log is a chain": auditChain,
				"revocations follow one another": revocationsFollow, "pruned": pruned, "hostile texts": hostileTexts,
				"a context that ends": endedContext,
			} {
				t.Run(name, func(t *testing.T) { test(t, w.fresh(t)) })
			}
		})
	}
}

func recordsComeBack(t *testing.T, where string) {
	s := open(t, where)
	key := store.Sealed{ID: "k1", Slot: "current", Secret: "sealed", Published: now, Signs: now}
	root := store.Sealed{ID: "r1", Slot: "current", Chain: "PEM", Secret: "sealed", Published: now}
	tok := store.Token{
		ID: "1", Subject: "ada", Principal: "ADMIN", Entity: "Ada", Audience: []string{"a", "b"}, Thumbprint: "x",
		KeyID: "k1", Minter: "m", Issued: now,
		Expires: now.Add(time.Hour),
	}
	child, grandchild := tok, tok
	child.ID, child.Parent, grandchild.ID, grandchild.Parent = "2", "1", "3", "2"
	node := store.Node{Name: "edge-1", State: store.NodeActive, Key: "k", Joined: now, Renewed: now, Expires: now,
		Serial: "1", Thumbprint: "x", Credits: 2}
	cert := store.Certificate{Serial: "1", Subject: "spiffe://a/node/b", Thumbprint: "x", Authority: "r1", Issued: now,
		Expires: now.Add(time.Hour)}
	write(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetSigningKeys(ctx, []store.Sealed{key}), tx.SetAuthorities(ctx, []store.Sealed{root}),
			tx.AddToken(ctx, tok), tx.AddToken(ctx, child),
			tx.AddToken(ctx, grandchild), tx.PutNode(ctx, node), tx.AddCertificate(ctx, cert), tx.Set(ctx, "issuer",
				"https://x"))
	})
	node.Alarm = "copied"
	write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.PutNode(ctx, node) })
	_ = s.Close()
	s = open(t, where) // what was written is there in the next life
	check := func(got any, err error, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	}
	ctx := t.Context()
	keys, err := s.SigningKeys(ctx)
	check(keys, err, []store.Sealed{key})
	roots, err := s.Authorities(ctx)
	check(roots, err, []store.Sealed{root})
	tokens, err := s.Tokens(ctx, store.TokenFilter{Subject: "ada", ExpiresAfter: now, After: "1"})
	check(tokens, err, []store.Token{child, grandchild})
	tokens, err = s.Tokens(ctx, store.TokenFilter{Thumbprint: "y"})
	check(tokens, err, []store.Token(nil))
	exchanged, err := s.Exchanged(ctx, "1")
	check(exchanged, err, []store.Token{child, grandchild})
	one, err := s.Token(ctx, "1")
	check(one, err, &tok)
	none, err := s.Token(ctx, "nobody")
	check(none, err, (*store.Token)(nil))
	nodes, err := s.Nodes(ctx)
	check(nodes, err, []store.Node{node})
	certs, err := s.Certificates(ctx, cert.Subject, now)
	check(certs, err, []store.Certificate{cert})
	last, err := s.LastExpiry(ctx, "r1")
	check(last, err, cert.Expires)
	issuer, err := s.Setting(ctx, "issuer")
	check(issuer, err, "https://x")
}

func refusedChange(t *testing.T, where string) {
	s := open(t, where)
	no := errors.New("no")
	err := s.Write(t.Context(), store.Entry{Actor: "test", Action: "test"}, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Set(ctx, "a", "b"); err != nil {
			return err
		}
		return no
	})
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if v, err := s.Setting(t.Context(), "a"); v != "" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if seq, _, err := s.Head(t.Context()); seq != 0 || err != nil {
		t.Errorf("the audit log has %d entries, %v; want none", seq, err)
	}
	write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddToken(ctx, store.Token{ID: "1"}) })
	err = s.Write(t.Context(), store.Entry{}, func(ctx context.Context,
		tx *store.Tx) error {
		return tx.AddToken(ctx, store.Token{ID: "1"})
	})
	if err == nil {
		t.Error("a token id twice: want an error")
	}
}

// redeemedOnce has many redeem one permission at once, over two replicas.
func redeemedOnce(t *testing.T, where string) {
	a, b := open(t, where), open(t, where)
	write(t, a, func(ctx context.Context, tx *store.Tx) error {
		return tx.AddJoin(ctx, store.Join{Hash: "h", Node: "edge-1", Created: now, Expires: now.Add(time.Minute)})
	})
	var all sync.WaitGroup
	won := make(chan string, 20)
	for i := range 20 {
		all.Go(func() {
			s, key := a, fmt.Sprint(i)
			if i%2 == 0 {
				s = b
			}
			err := s.Write(t.Context(), store.Entry{Actor: key, Action: "join"}, func(ctx context.Context, tx *store.Tx) error {
				ok, err := tx.Redeem(ctx, "h", now, key, "chain "+key)
				if ok {
					won <- key
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d redeemed it, want one", len(won))
	}
	j, err := b.Join(t.Context(), "h")
	if key := <-won; err != nil || j.Key != key || j.Chain != "chain "+key || !j.Used.Equal(now) {
		t.Errorf("got %+v, %v", j, err)
	}
	write(t, a, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.AddJoin(ctx, store.Join{Hash: "old", Expires: now}); err != nil {
			return err
		}
		for _, hash := range []string{"old", "unknown"} {
			if ok, err := tx.Redeem(ctx, hash, now, "k", "c"); ok || err != nil {
				t.Errorf("%s was redeemed, %v", hash, err)
			}
		}
		return nil
	})
}

// twoReplicas write at once; both see all of it.
func twoReplicas(t *testing.T, where string) {
	a, b := open(t, where), open(t, where)
	changed := a.Changed()
	var all sync.WaitGroup
	const each = 25
	for i, s := range []*store.Store{a, b} {
		for range 2 {
			all.Go(func() {
				for range each {
					err := s.Write(t.Context(), store.Entry{Actor: fmt.Sprint(i), Action: "revoke"},
						func(ctx context.Context, tx *store.Tx) error {
							head, _, err := tx.Head(ctx)
							if err != nil {
								return err
							}
							_, err = tx.Revoke(ctx, store.Revocation{Kind: "jti", Value: fmt.Sprint(head), At: now, Expires: now})
							return err
						})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the changes")
	}
	for _, s := range []*store.Store{a, b} {
		rs, err := s.Revocations(t.Context(), 0, 1000)
		if err != nil || len(rs) != 4*each {
			t.Fatalf("got %d, %v; want %d", len(rs), err, 4*each)
		}
		for i, r := range rs {
			if r.Seq != int64(i+1) || r.Value != fmt.Sprint(i+1) {
				t.Fatalf("revocation %d is %+v: sequence numbers are given in the order of the changes", i, r)
			}
		}
		if seq, _, err := s.VerifyAudit(t.Context(), 0, ""); seq != 4*each || err != nil {
			t.Errorf("audit: %d, %v", seq, err)
		}
	}
}

func openedAtOnce(t *testing.T, where string) {
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			s, err := store.Open(t.Context(), where)
			if err != nil {
				t.Error(err)
				return
			}
			if n, err := s.RevocationSeq(t.Context()); n != 0 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
			_ = s.Close()
		})
	}
	all.Wait()
}

func auditChain(t *testing.T, where string) {
	s := open(t, where)
	for i := range 5 {
		e := store.Entry{Actor: "ada", Action: "token.mint", Target: fmt.Sprint(i), Outcome: store.Refused, Detail: "ünïcode"}
		if err := s.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	seq, hash, err := s.VerifyAudit(t.Context(), 0, "")
	if seq != 5 || err != nil {
		t.Fatalf("got %d, %v", seq, err)
	}
	if _, _, err := s.VerifyAudit(t.Context(), 5, hash); err != nil {
		t.Errorf("with the head as anchor: %v", err)
	}
	for name, c := range map[string]struct {
		damage string
		anchor int64
		want   int64
	}{
		"changed":                {`UPDATE audit SET actor = 'bob' WHERE seq = 3`, 0, 3},
		"removed":                {`DELETE FROM audit WHERE seq = 2`, 0, 2},
		"the first removed":      {`DELETE FROM audit WHERE seq = 1`, 0, 1},
		"the last removed":       {`DELETE FROM audit WHERE seq = 5`, 0, 5},
		"changed over":           {`UPDATE audit SET seq = -seq WHERE seq IN (2, 3); UPDATE audit SET seq = 5 + seq WHERE seq < 0`, 0, 2},
		"a hash made to fit":     {`UPDATE audit SET detail = 'x', hash = 'y' WHERE seq = 4`, 0, 4},
		"cut with its head":      {`DELETE FROM audit WHERE seq = 5; UPDATE head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)`, 5, 5},
		"noted, and not the one": {`SELECT 1`, 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := damaged(t, where, c.damage).VerifyAudit(t.Context(), c.anchor, hash)
			if b, ok := errors.AsType[*store.Broken](err); !ok || b.Seq != c.want {
				t.Errorf("got %v, want entry %d", err, c.want)
			}
		})
	}
}

// damaged is a view of a store in which a statement was carried out behind the service's back, and is undone at the
// end of the test.
func damaged(t *testing.T, where, statements string) store.Reader {
	t.Helper()
	driver, dsn := "sqlite", "file:"+where
	if strings.HasPrefix(where, "postgres") {
		driver, dsn = "pgx", where
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tx.Rollback(), db.Close() })
	for _, statement := range strings.Split(statements, ";") {
		if _, err := tx.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return store.ReaderOf(tx)
}

func revocationsFollow(t *testing.T, where string) {
	s := open(t, where)
	revoke := func(r store.Revocation) (got store.Revocation) {
		write(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			got, err = tx.Revoke(ctx, r)
			return err
		})
		return got
	}
	later, soon := now.Add(time.Hour), now.Add(time.Minute)
	revoke(store.Revocation{Kind: "jti", Value: "1", At: now, Expires: later})
	revoke(store.Revocation{Kind: "node", Value: "1", At: now, Expires: later})
	if r := revoke(store.Revocation{Kind: "jti", Value: "1", At: now, Expires: soon}); r.Seq != 3 ||
		!r.Expires.Equal(later) {
		t.Errorf("got %+v: again must not be shorter", r)
	}
	revoke(store.Revocation{Kind: "node", Value: "1", At: now, Expires: soon, Lifted: true})
	rs, err := s.Revocations(t.Context(), 2, 10)
	if err != nil || len(rs) != 2 || rs[0].Kind != "jti" || rs[0].Seq != 3 || rs[1].Kind != "node" || !rs[1].Lifted ||
		rs[1].Seq != 4 {
		t.Errorf("got %+v, %v", rs, err)
	}
}

func pruned(t *testing.T, where string) {
	s := open(t, where)
	write(t, s, func(ctx context.Context, tx *store.Tx) error {
		for i := range 3 {
			at, id := now.Add(time.Duration(i)*time.Hour), fmt.Sprint(i)
			_, err := tx.Revoke(ctx, store.Revocation{Kind: "jti", Value: id, At: at, Expires: at})
			err = errors.Join(err, tx.AddToken(ctx, store.Token{ID: id, Expires: at}),
				tx.AddCertificate(ctx, store.Certificate{Serial: id, Expires: at}),
				tx.AddJoin(ctx, store.Join{Hash: id, Expires: at}))
			if err != nil {
				return err
			}
		}
		return nil
	})
	write(t, s, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Prune(ctx, now.Add(time.Hour))
		if n != 4 {
			t.Errorf("pruned %d rows, want one of each kind", n)
		}
		return err
	})
	rs, err := s.Revocations(t.Context(), 0, 10)
	if err != nil || len(rs) != 2 {
		t.Errorf("got %v, %v: what is over this very moment stays", rs, err)
	}
}

func hostileTexts(t *testing.T, where string) {
	s := open(t, where)
	evil := "'; DROP TABLE audit; -- \x00\xff" + strings.Repeat("é", 1000)
	if err := s.Record(t.Context(), store.Entry{Actor: evil, Action: evil, Target: evil, Detail: evil}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.VerifyAudit(t.Context(), 0, ""); err != nil {
		t.Error(err)
	}
	if got, err := s.Token(t.Context(), "' OR 1=1 --"); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func endedContext(t *testing.T, where string) {
	s := open(t, where)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Record(ctx, store.Entry{Actor: "a"}); err == nil {
		t.Error("want an error")
	}
	if err := s.Record(t.Context(), store.Entry{Actor: "a"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestUnwritable has the disk full, the file read-only and the database locked by somebody else while something is
// revoked: the call says so, nothing of it is there, and afterwards it goes on.
func TestUnwritable(t *testing.T) {
	revoke := func(ctx context.Context, s *store.Store, jti string) error {
		return s.Write(ctx, store.Entry{Actor: "test", Action: "token.revoke"},
			func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Revoke(ctx, store.Revocation{Kind: "jti", Value: jti, Reason: strings.Repeat("x", 400), At: now,
					Expires: now.Add(time.Hour)})
				return err
			})
	}
	for name, c := range map[string]struct {
		hinder func(t *testing.T, s *store.Store, path string) (allow func())
		want   error
	}{
		"full": {func(_ *testing.T, s *store.Store, _ string) func() {
			store.Pragma(s, "max_page_count = 1") // as many as there are: not one more
			return func() { store.Pragma(s, "max_page_count = 1000000") }
		}, store.ErrFull},
		"read-only": {func(_ *testing.T, s *store.Store, _ string) func() {
			store.Pragma(s, "query_only = 1")
			return func() { store.Pragma(s, "query_only = 0") }
		}, store.ErrReadOnly},
		"locked": {func(t *testing.T, s *store.Store, path string) func() {
			store.Pragma(s, "busy_timeout = 50")
			db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
			if err != nil {
				t.Fatal(err)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = errors.Join(tx.Rollback(), db.Close()) }
		}, store.ErrAway},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "auth.db")
			s := open(t, path)
			if err := revoke(t.Context(), s, "before"); err != nil {
				t.Fatal(err)
			}
			allow := c.hinder(t, s, path)
			var err error
			for i := 0; err == nil && i < 1000; i++ { // a page that is begun has room yet
				err = revoke(t.Context(), s, fmt.Sprint(i))
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			before, err := s.RevocationSeq(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			allow()
			if err := revoke(t.Context(), s, "after"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			rows, err := s.Revocations(t.Context(), before, 10)
			if err != nil || len(rows) != 1 || rows[0].Value != "after" {
				t.Errorf("got %+v, %v; want the last alone", rows, err)
			}
			if _, _, err := s.VerifyAudit(t.Context(), 0, ""); err != nil {
				t.Error(err)
			}
		})
	}
}
