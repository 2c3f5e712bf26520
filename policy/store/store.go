// Package store keeps, in SQLite, every version of a node's policies, who ordered it and when, and a bounded log of
// decisions. A version is never changed: what is in force is the newest one, and going back to an old one makes
// another.
package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/policy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Version is a set of policies that was in force from At until the next version.
type Version struct {
	Number int
	At     time.Time
	By     string // who ordered it
	Note   string // why, in the words of whoever did
	Hash   string // of the snapshot
	Source policy.Source
}

// Store is an open file. It is safe for concurrent use.
type Store struct {
	db  *sql.DB
	log log
}

// ErrNone tells that there is no such version, or decision.
var ErrNone = errors.New("there is none") //nolint:gochecknoglobals // a sentinel

// Open opens the file at path, making it if need be.
func Open(ctx context.Context, path string) (*Store, error) {
	f, err := datafile.Open(path, os.O_RDWR|os.O_CREATE)
	if err == nil {
		err = errors.Join(f.Chmod(0o600), f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("open policies: %w", err)
	}
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(5000)"},
		"_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open policies %s: %w", path, err)
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err == nil {
		var p *goose.Provider
		if p, err = goose.NewProvider(goose.DialectSQLite3, db, dir); err == nil {
			_, err = p.Up(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open policies %s: %w", path, err), db.Close())
	}
	return &Store{db: db, log: log{queue: make(chan policy.Record, queued)}}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Apply keeps a source as the newest version, and what it is shared as; nil if it is not. The caller has compiled it:
// hash is its snapshot's.
func (s *Store) Apply(ctx context.Context, src policy.Source, hash, by, note string, at time.Time,
	shared *Shared) (Version, error) {
	text, err := json.Marshal(src)
	if err != nil {
		return Version{}, err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return Version{}, fmt.Errorf("keep policies: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	v := Version{Number: 1, At: at, By: by, Note: note, Hash: hash, Source: src}
	var chain string
	err = tx.QueryRowContext(ctx, `SELECT number + 1, chain FROM versions ORDER BY number DESC LIMIT 1`).Scan(&v.Number,
		&chain)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Version{}, fmt.Errorf("keep policies: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?)`, v.Number, at.UnixNano(), by, note,
		hash, string(text), link(chain, v, text))
	if err == nil && shared != nil {
		err = shared.keep(ctx, tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return Version{}, fmt.Errorf("keep policies: %w", err)
	}
	return v, nil
}

// link is the checksum of a version and of all before it, so that none can be changed or left out unseen.
func link(before string, v Version, source []byte) string {
	h := sha256.New()
	// a hash takes all
	_ = json.NewEncoder(h).Encode([]any{before, v.Number, v.At.UnixNano(), v.By, v.Note, v.Hash, string(source)})
	return hex.EncodeToString(h.Sum(nil))
}

// Current returns the newest version; ErrNone before the first.
func (s *Store) Current(ctx context.Context) (Version, error) {
	return s.one(ctx, `SELECT number, at, by, note, hash, source FROM versions ORDER BY number DESC LIMIT 1`)
}

// Version returns a version by its number; ErrNone if there is none of it.
func (s *Store) Version(ctx context.Context, number int) (Version, error) {
	return s.one(ctx, `SELECT number, at, by, note, hash, source FROM versions WHERE number = ?`, number)
}

// ByHash returns the newest version whose snapshot has this hash; ErrNone if there is none.
func (s *Store) ByHash(ctx context.Context, hash string) (Version, error) {
	return s.one(ctx,
		`SELECT number, at, by, note, hash, source FROM versions WHERE hash = ? ORDER BY number DESC LIMIT 1`, hash)
}

func (s *Store) one(ctx context.Context, query string, args ...any) (v Version, err error) {
	var at int64
	var text string
	err = s.db.QueryRowContext(ctx, query, args...).Scan(&v.Number, &at, &v.By, &v.Note, &v.Hash, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return v, ErrNone
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &v.Source)
	}
	if err != nil {
		return v, fmt.Errorf("read policies: %w", err)
	}
	v.At = time.Unix(0, at)
	return v, nil
}

// Versions returns the newest versions, newest first, without their sources. A chain that does not hold is an error
// that names the version.
func (s *Store) Versions(ctx context.Context, most int) (all []Version, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT number, at, by, note, hash, source, chain FROM versions ORDER BY number`)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	before := ""
	for rows.Next() {
		var v Version
		var at int64
		var text, chain string
		if err := rows.Scan(&v.Number, &at, &v.By, &v.Note, &v.Hash, &text, &chain); err != nil {
			return nil, fmt.Errorf("read policies: %w", err)
		}
		v.At = time.Unix(0, at)
		if chain != link(before, v, []byte(text)) || v.Number != len(all)+1 {
			return nil, fmt.Errorf("version %d of the policies is not as it was applied, or one before it is missing", v.Number)
		}
		before, all = chain, append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	newest := make([]Version, 0, min(most, len(all)))
	for i := len(all) - 1; i >= 0 && len(newest) < most; i-- {
		newest = append(newest, all[i])
	}
	return newest, nil
}
