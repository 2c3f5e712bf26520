// Package snapshot copies SQLite databases that another process has open, as they are at one moment.
package snapshot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Take writes what the database at path holds at this moment into a new file with mode 0600. Whoever has the database
// open goes on reading and writing; what is written meanwhile is not in the copy. It is an error if path is no
// database, is damaged, or does not exist, or if into exists.
//
// SQLite's VACUUM INTO does it (https://sqlite.org/lang_vacuum.html#vacuuminto): the copy has no journal beside it.
func Take(ctx context.Context, path, into string) error {
	if _, err := os.Stat(path); err != nil {
		return err // SQLite would not say which file
	}
	f, err := os.OpenFile(into, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // VACUUM INTO takes an empty file
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err == nil {
		_, err = db.ExecContext(ctx, `VACUUM INTO ?`, into)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy the database %s: %w", path, err), os.Remove(into))
	}
	return nil
}
