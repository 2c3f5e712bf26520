package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/catalyst-router/catalyst/bgp/datafile"
)

// version is that of the newest migration.
const version = 6

// Open opens the file at path, making it if need be, and brings it up to date. A file that is damaged is moved to
// path with ".bad" behind it; the journal has what could be read of it then, and Damage names the rest. While the
// disk is full a journal opens, and takes no orders.
func Open(ctx context.Context, path string) (*Journal, error) {
	if err := private(path); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	db, err := openFile(ctx, path)
	if err == nil {
		found, bad := inspect(ctx, db)
		if !bad {
			return newJournal(ctx, db, path, nil)
		}
		err = errors.Join(found, db.Close())
	}
	if !damaged(err) {
		return nil, fmt.Errorf("open journal %s: %w", path, explain(err))
	}
	found, err := salvage(ctx, path, err)
	if err != nil {
		return nil,
			fmt.Errorf("open journal %s: it is damaged, and what can be read could not be put into another file: %w", path,
				explain(err))
	}
	if db, err = openFile(ctx, path); err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, explain(err))
	}
	return newJournal(ctx, db, path, found)
}

// private makes the file, or sees to it that nobody else may read it: addresses and rules are nobody else's affair.
func private(path string) error {
	f, err := datafile.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	err = errors.Join(f.Chmod(0o600), f.Close())
	for _, beside := range []string{"-wal", "-shm"} {
		if e := datafile.Check(path + beside); e != nil {
			err = errors.Join(err, e)
		} else if e := os.Chmod(path+beside, 0o600); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// openFile opens a database and migrates it. On a full disk there is no room for the memory that SQLite shares
// between processes: then this process has the file for itself.
func openFile(ctx context.Context, path string) (*sql.DB, error) {
	db, err := migrate(ctx, path, "journal_mode(WAL)")
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == lib.SQLITE_IOERR_SHMSIZE || e.Code() == lib.SQLITE_IOERR_SHMOPEN) {
		db, err = migrate(ctx, path, "locking_mode(EXCLUSIVE)") // and no journal_mode, which the driver would run before it
	}
	return db, err
}

func migrate(ctx context.Context, path, mode string) (*sql.DB, error) {
	db, err := connect(path, mode)
	if err != nil {
		return nil, err
	}
	if err := upgrade(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func connect(path, mode string) (*sql.DB, error) {
	pragmas := []string{mode, "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)"}
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func upgrade(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	sums := goose.NewGoMigration(3, &goose.GoFunc{RunTx: addSums}, nil)
	ports := goose.NewGoMigration(4, &goose.GoFunc{RunTx: nameLocalPorts}, nil)
	names := goose.NewGoMigration(5, &goose.GoFunc{RunTx: addOfferers}, nil)
	trusted := goose.NewGoMigration(6, &goose.GoFunc{RunTx: addTrust}, nil)
	provider, err := goose.NewProvider(
		goose.DialectSQLite3, db, dir, goose.WithGoMigrations(sums, ports, names, trusted),
	)
	if err != nil {
		return err
	}
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if has > version {
		return fmt.Errorf("it was written by a later version of catalyst (format %d, this one knows up to %d)", has, version)
	}
	if has == version {
		return nil // nothing is written then
	}
	_, err = provider.Up(ctx)
	return err
}

// damaged tells whether an error means that the file is not as SQLite or we left it, rather than that it could not be
// reached.
func damaged(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_ERROR, lib.SQLITE_CONSTRAINT, lib.SQLITE_MISMATCH,
		lib.SQLITE_FORMAT:
		return true
	}
	return false
}

// newJournal takes the damage that earlier starts wrote down, as long as the operator has left the damaged file where
// it is.
func newJournal(ctx context.Context, db *sql.DB, path string, found []Damage) (*Journal, error) {
	j := &Journal{db: db, path: path}
	err := j.keepDamage(ctx, found)
	if err == nil {
		err = j.checkMark(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, explain(err)), db.Close())
	}
	return j, nil
}
