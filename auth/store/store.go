// Package store keeps what an organisation's identity service must not forget: signing keys and authorities (sealed),
// tokens, join secrets (hashed), nodes, certificates, revocations, and the audit log that every change is written to
// in the same transaction. It keeps them in one SQLite file, or in PostgreSQL where several replicas share them; both
// behave alike, by one suite of tests.
//
//	s, err := store.Open(ctx, "org/auth.db")            // or postgres://…
//	err = s.Write(ctx, store.Entry{Actor: …, Action: "token.mint", Target: jti}, func(ctx context.Context, tx *store.Tx) error {
//		return tx.AddToken(ctx, t)
//	})
//
// A change is there when Write returns nil, also after a crash of the machine; otherwise nothing of it is. Changes
// happen one after the other, on all replicas together.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	readers     = 4 // connections that read a SQLite file, besides the one that writes
	connections = 8 // to PostgreSQL
	idle        = 5 * time.Minute
	// writeTime bounds a change, so that a database that hangs does not hold a caller for ever.
	writeTime = 15 * time.Second
)

// The errors of a store that cannot keep anything.
var (
	ErrFull     = errors.New("the disk is full: nothing was changed; free some space and try again") //nolint:gochecknoglobals // a sentinel
	ErrReadOnly = errors.New("the database cannot be written: nothing was changed; look at the file's owner and its disk")
	ErrAway     = errors.New("the database does not answer: nothing was changed that you were not told of; try again")
)

// Store is an open store. It is safe for concurrent use.
type Store struct {
	Reader
	write, read *sql.DB // one and the same for PostgreSQL

	step func(what string) error // see Steps; nil for none

	mu      sync.Mutex
	waiting []chan struct{} // guarded by mu; told of each change made here
}

// Option changes how a store is opened.
type Option func(*Store)

// Steps asks step before each statement of a change, before its commit and after it; an error ends the change there, as
// the death of the process would. It is for tests of what such a death leaves.
func Steps(step func(what string) error) Option { return func(s *Store) { s.step = step } }

// Open opens a store and brings it up to date: a postgres:// URL, or the path of a SQLite file, which is made with
// mode 0600 if it is not there.
func Open(ctx context.Context, where string, options ...Option) (*Store, error) {
	open := openSQLite
	if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
		open = openPostgres
	}
	s, err := open(ctx, where)
	if err != nil {
		return nil, err
	}
	s.Reader = Reader{s.read}
	for _, o := range options {
		o(s)
	}
	return s, nil
}

func openSQLite(ctx context.Context, path string) (*Store, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the identity store: %w", err)
	}
	_ = f.Close()
	dsn := func(more ...string) string {
		q := url.Values{"_pragma": append(more, "busy_timeout(5000)", "foreign_keys(1)", "journal_mode(WAL)",
			"synchronous(FULL)"),
			"_txlock": {"immediate"}}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	s := &Store{}
	if s.write, err = sql.Open("sqlite", dsn()); err == nil {
		s.write.SetMaxOpenConns(1)
		s.read, err = sql.Open("sqlite", dsn("query_only(1)"))
	}
	if err != nil {
		return nil, fmt.Errorf("open the identity store %s: %w", path, err)
	}
	s.read.SetMaxOpenConns(readers)
	unlock, err := lockFile(path + ".lock") // two that start at once would apply a migration twice
	if err == nil {
		defer unlock()
		err = migrate(ctx, goose.DialectSQLite3, s.write)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the identity store %s: %w", path, explain(err)), s.Close())
	}
	return s, nil
}

func openPostgres(ctx context.Context, where string) (*Store, error) {
	db, err := sql.Open("pgx", where)
	if err != nil {
		return nil, fmt.Errorf("open the identity store: %w", err) // pgx leaves the password out
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idle)
	s := &Store{write: db, read: db}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err == nil {
		err = migrate(ctx, goose.DialectPostgres, db, goose.WithSessionLocker(locker))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the identity store in PostgreSQL: %w", explain(err)), s.Close())
	}
	return s, nil
}

func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, more ...goose.ProviderOption) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, dir, append(more, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// Close closes the store.
func (s *Store) Close() error {
	var err error
	if s.read != nil && s.read != s.write {
		err = s.read.Close()
	}
	if s.write != nil {
		err = errors.Join(err, s.write.Close())
	}
	return err
}

// Write makes a change: do, and the audit entry of it, in one transaction. An error of do undoes both and is returned
// as it is. Only one Write is under way at a time, on all replicas together.
func (s *Store) Write(ctx context.Context, e Entry, do func(ctx context.Context, tx *Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	db, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = db.Rollback() }() // after Commit it does nothing
	var q querier = db
	if s.step != nil {
		q = stepping{db, s.step}
	}
	tx := &Tx{Reader: Reader{q}, db: q, entry: e}
	// The head's row is what all who write wait for.
	row := q.QueryRowContext(ctx, `UPDATE head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash`)
	if err := row.Scan(&tx.entry.Seq, &tx.entry.Prev); err != nil {
		return explain(err)
	}
	if do != nil {
		if err := do(ctx, tx); err != nil {
			return explain(err)
		}
	}
	if err := tx.audit(ctx); err != nil {
		return explain(err)
	}
	if err := s.commit(db); err != nil {
		return explain(err)
	}
	s.tell()
	return nil
}

func (s *Store) commit(db *sql.Tx) error {
	if s.step == nil {
		return db.Commit()
	}
	if err := s.step("commit"); err != nil {
		return err
	}
	if err := db.Commit(); err != nil {
		return err
	}
	return s.step("committed")
}

// stepping is a transaction that asks before each statement.
type stepping struct {
	*sql.Tx
	step func(what string) error
}

// ExecContext implements querier.
func (q stepping) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := q.step(query); err != nil {
		return nil, err
	}
	return q.Tx.ExecContext(ctx, query, args...)
}

// QueryRowContext implements querier.
func (q stepping) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := q.step(query); err != nil {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(err)
		ctx = ended
	}
	return q.Tx.QueryRowContext(ctx, query, args...)
}

// Changed returns a channel that receives after each change made through this Store; changes of other processes are
// seen by Head. Those that are not received coalesce.
func (s *Store) Changed() <-chan struct{} {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, c)
	return c
}

func (s *Store) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// explain turns the databases' codes into words of ours.
func explain(err error) error {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff {
		case lib.SQLITE_FULL:
			return ErrFull
		case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
			return fmt.Errorf("%w (%w)", ErrReadOnly, err)
		case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_IOERR:
			return fmt.Errorf("%w (%w)", ErrAway, err)
		}
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "53100": // disk_full
			return ErrFull
		case "25006": // read_only_sql_transaction
			return fmt.Errorf("%w (%w)", ErrReadOnly, err)
		case "57P01", "57P02", "57P03", "53300": // shutting down, or too many connections
			return fmt.Errorf("%w (%w)", ErrAway, err)
		}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w (%w)", ErrAway, err)
	}
	return err
}

// Backup writes a copy of a SQLite store to a new file, while it is in use; a PostgreSQL store is backed up with
// pg_dump.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.read == s.write {
		return errors.New("a store in PostgreSQL is backed up with pg_dump")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_, err := s.write.ExecContext(ctx, `VACUUM INTO $1`, path)
	return explain(err)
}
