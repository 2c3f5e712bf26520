package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// table is one kind of record: a key, a value in text, and the checksum of both.
type table struct {
	name, key, value string // as in SQL
	one              string // in errors: peer
	// check tells whether a value can be used. Records of earlier versions of the program can.
	check func(key, value string) error
}

// tables returns every kind of record.
func tables() []table {
	return []table{peers(), services(), localPorts(), offerers(), trust()}
}

func peers() table {
	return table{"peers", "node", "spec", "peer", func(_, v string) error { return json.Unmarshal([]byte(v), new(Peer)) }}
}

func services() table {
	return table{"services", "name", "spec", "service",
		func(_, v string) error { return json.Unmarshal([]byte(v), new(Service)) }}
}

// sum is the checksum of a record: the first eight bytes of SHA-256 over the table's name, the key and the value.
func (t table) sum(key, value string) int64 {
	h := sha256.New()
	for _, s := range []string{t.name, key, value} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) //nolint:gosec // records are below a megabyte
		h.Write([]byte(s))
	}
	return int64(binary.BigEndian.Uint64(h.Sum(nil))) //nolint:gosec // SQLite's integers are signed
}

// record is a row as it was read.
type record struct {
	key, value string
	sum        int64
}

// wrong says what is wrong with a record; nil if it is whole.
func (t table) wrong(r record) error {
	if t.sum(r.key, r.value) != r.sum {
		return errors.New("its checksum is wrong")
	}
	return t.check(r.key, r.value)
}

// totals is what a table must hold: how many rows, and all their checksums by exclusive or. A row that has vanished
// without a trace is missed by them.
type totals struct {
	rows int64
	sum  int64
}

func (t totals) with(sum, rows int64) totals { return totals{t.rows + rows, t.sum ^ sum} }

func readTotals(ctx context.Context, q querier, t table) (out totals, err error) {
	err = q.QueryRowContext(ctx, `SELECT rows, sum FROM totals WHERE name = ?`, t.name).Scan(&out.rows, &out.sum)
	return out, err
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// addSums is the migration to checksums: rows that are there are taken as they are.
func addSums(ctx context.Context, tx *sql.Tx) error {
	statements := []string{
		`CREATE TABLE totals (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT`,
		`CREATE TABLE damage (at TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, why TEXT NOT NULL) STRICT`,
	}
	all := []table{peers(), services(), portsOfVersion3()}
	for _, t := range all {
		statements = append(statements, `ALTER TABLE `+t.name+` ADD COLUMN sum INTEGER NOT NULL DEFAULT 0`)
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	for _, t := range all {
		rows, err := t.read(ctx, tx, "")
		if err != nil {
			return err
		}
		var sums totals
		for _, r := range rows {
			sum := t.sum(r.key, r.value)
			if _, err := tx.ExecContext(ctx, `UPDATE `+t.name+` SET sum = ? WHERE `+t.key+` = ?`, sum, r.key); err != nil {
				return err
			}
			sums = sums.with(sum, 1)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO totals VALUES (?, ?, ?)`, t.name, sums.rows, sums.sum); err != nil {
			return err
		}
	}
	return nil
}

// read returns the rows of a table, in the order of the SQL that is appended, and those before an error.
func (t table) read(ctx context.Context, q querier, order string) (all []record, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+t.key+`, `+t.value+`, sum FROM `+t.name+` NOT INDEXED `+order)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r record
		if err := rows.Scan(&r.key, &r.value, &r.sum); err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// set keeps a record in place of one with its key, and has the totals follow, in one transaction.
func (t table) set(ctx context.Context, db *sql.DB, key, value string) error {
	return within(ctx, db, func(tx *sql.Tx) error { return t.setIn(ctx, tx, key, value) })
}

func (t table) setIn(ctx context.Context, tx *sql.Tx, key, value string) error {
	sum := t.sum(key, value)
	_, err := t.change(ctx, tx, key, sum, func() error {
		_, err := tx.ExecContext(ctx, `INSERT INTO `+t.name+` (`+t.key+`, `+t.value+`, sum) VALUES (?, ?, ?)`+
			` ON CONFLICT (`+t.key+`) DO UPDATE SET `+t.value+` = excluded.`+t.value+`, sum = excluded.sum`, key, value, sum)
		return err
	})
	return err
}

// unset forgets a record and tells whether there was one.
func (t table) unset(ctx context.Context, db *sql.DB, key string) (had bool, err error) {
	err = within(ctx, db, func(tx *sql.Tx) error {
		had, err = t.unsetIn(ctx, tx, key)
		return err
	})
	return had, err
}

func (t table) unsetIn(ctx context.Context, tx *sql.Tx, key string) (bool, error) {
	return t.change(ctx, tx, key, 0, func() error {
		_, err := tx.ExecContext(ctx, `DELETE FROM `+t.name+` WHERE `+t.key+` = ?`, key)
		return err
	})
}

// within runs do in one transaction.
func within(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// change runs a statement on one row, whose checksum is sum afterwards (0: the row is gone), and tells whether it was
// there before.
func (t table) change(ctx context.Context, tx *sql.Tx, key string, sum int64, do func() error) (had bool, err error) {
	now, err := readTotals(ctx, tx, t)
	if err != nil {
		return false, err
	}
	var old int64
	err = tx.QueryRowContext(ctx, `SELECT sum FROM `+t.name+` WHERE `+t.key+` = ?`, key).Scan(&old)
	if err == nil {
		had, now = true, now.with(old, -1)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if err := do(); err != nil {
		return false, err
	}
	if sum != 0 {
		now = now.with(sum, 1)
	}
	_, err = tx.ExecContext(ctx, `UPDATE totals SET rows = ?, sum = ? WHERE name = ?`, now.rows, now.sum, t.name)
	return had, err
}
