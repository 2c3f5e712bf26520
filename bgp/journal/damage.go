package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp/datafile"
)

// Damage is something that was kept and is not served any more.
type Damage struct {
	At   time.Time // when it was found
	Kind string    // peer, service, port of service, or journal for the file as a whole
	Key  string    // of the record; "" if it is not known
	Why  string
}

func (d Damage) String() string {
	if d.Key == "" {
		return d.Kind + ": " + d.Why
	}
	return d.Kind + " " + d.Key + ": " + d.Why
}

const (
	badSuffix  = ".bad"  // a damaged file
	markSuffix = ".kept" // tells that something was kept, so that an empty journal is one that was emptied
)

var errDamaged = errors.New("the journal is damaged") //nolint:gochecknoglobals // a sentinel

// Damage returns what was found damaged when the journal was opened, now or at an earlier start, until the operator
// removes the damaged file.
func (j *Journal) Damage() []Damage { return slices.Clone(j.damage) }

// inspect checks the whole file: SQLite's structure, every row's checksum, and that no row is missing. bad tells
// whether anything is wrong.
func inspect(ctx context.Context, db *sql.DB) (found error, bad bool) {
	var words string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&words); err != nil {
		return err, true
	}
	if words != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, words), true
	}
	for _, t := range tables() {
		all, err := t.read(ctx, db, "")
		if err != nil {
			return err, true
		}
		want, err := readTotals(ctx, db, t)
		if err != nil {
			return errors.Join(errDamaged, err), true
		}
		var have totals
		for _, r := range all {
			if err := t.wrong(r); err != nil {
				return fmt.Errorf("%w: %s %s: %w", errDamaged, t.one, r.key, err), true
			}
			have = have.with(r.sum, 1)
		}
		if have != want {
			return fmt.Errorf("%w: %d %s are there of %d", errDamaged, have.rows, t.name, want.rows), true
		}
	}
	return nil, false
}

// salvage moves a damaged file aside, puts what can be read of it into another in its place, and names what cannot.
func salvage(ctx context.Context, path string, cause error) ([]Damage, error) {
	fresh := path + ".new"
	if err := removeAll(fresh); err != nil {
		return nil, err
	}
	if err := private(fresh); err != nil {
		return nil, err
	}
	into, err := openFile(ctx, fresh)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	found := []Damage{{At: now, Kind: "journal", Why: fmt.Sprintf("%v; the damaged file is %s", cause, path+badSuffix)}}
	from, err := connect(path, "journal_mode(WAL)")
	if err != nil {
		return nil, errors.Join(err, into.Close())
	}
	for _, t := range tables() {
		lost, err := t.rescue(ctx, from, into)
		if err != nil {
			return nil, errors.Join(err, from.Close(), into.Close())
		}
		for _, d := range lost {
			d.At = now
			found = append(found, d)
		}
	}
	_ = from.Close() // it is damaged: whatever it complains of is known
	if err := into.Close(); err != nil {
		return nil, err
	}
	if err := removeAll(path + badSuffix); err != nil {
		return nil, err
	}
	for _, part := range []string{"-wal", "-shm", ""} { // the file itself last: whoever is killed before begins anew
		if err := os.Rename(path+part, path+badSuffix+part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return found, os.Rename(fresh, path)
}

func removeAll(path string) error {
	var errs []error
	for _, part := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + part); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// rescue copies the whole rows of a table in one transaction (ten thousand rows are not ten thousand writes to the
// disk), and names those that are not whole.
func (t table) rescue(ctx context.Context, from, into *sql.DB) (lost []Damage, err error) {
	seen := map[string]bool{}
	have := totals{}
	err = within(ctx, into, func(tx *sql.Tx) error {
		for _, r := range t.salvageable(ctx, from) {
			if seen[r.key] {
				continue
			}
			seen[r.key] = true
			if err := t.wrong(r); err != nil {
				lost = append(lost, Damage{Kind: t.one, Key: r.key, Why: err.Error()})
				continue
			}
			if err := t.setIn(ctx, tx, r.key, r.value); err != nil {
				return err
			}
			have = have.with(r.sum, 1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, key := range t.indexed(ctx, from) {
		if !seen[key] {
			seen[key] = true
			lost = append(lost, Damage{Kind: t.one, Key: key, Why: "it is in the index only"})
		}
	}
	if want, err := readTotals(ctx, from, t); err != nil {
		lost = append(lost, Damage{Kind: t.one, Why: "how many there have to be is not known: " + err.Error()})
	} else if missing := want.rows - have.rows - int64(len(lost)); missing > 0 {
		lost = append(lost, Damage{Kind: t.one, Why: fmt.Sprintf("%d are missing, and their names are lost", missing)})
	}
	return lost, nil
}

// salvageable reads the table from both ends towards a damaged page; rows between may be read twice or not at all.
func (t table) salvageable(ctx context.Context, from *sql.DB) (all []record) {
	for _, order := range []string{"ORDER BY rowid", "ORDER BY rowid DESC"} {
		some, _ := t.read(ctx, from, order) // what it could not read is missed by the totals
		all = append(all, some...)
	}
	return all
}

// indexed returns the keys that the table's index has, as far as it can be read.
func (t table) indexed(ctx context.Context, from *sql.DB) (keys []string) {
	rows, err := from.QueryContext(ctx, `SELECT `+t.key+` FROM `+t.name+` INDEXED BY sqlite_autoindex_`+t.name+`_1`)
	if err != nil {
		return nil
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key string
		if rows.Scan(&key) != nil {
			return keys
		}
		keys = append(keys, key)
	}
	return keys
}

// keepDamage writes down what was found, and takes what earlier starts found if the damaged file is still there.
func (j *Journal) keepDamage(ctx context.Context, found []Damage) error {
	for _, d := range found {
		_, err := j.db.ExecContext(ctx, `INSERT INTO damage VALUES (?, ?, ?, ?)`, d.At.UTC().Format(time.RFC3339), d.Kind,
			d.Key, d.Why)
		if err != nil && !errors.Is(explain(err), ErrFull) {
			return err
		}
	}
	j.damage = found
	if len(found) > 0 {
		return nil
	}
	rows, err := j.db.QueryContext(ctx, `SELECT at, kind, key, why FROM damage`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d Damage
		var at string
		if err := rows.Scan(&at, &d.Kind, &d.Key, &d.Why); err != nil {
			return err
		}
		d.At, _ = time.Parse(time.RFC3339, at) // the zero time if it is none
		j.damage = append(j.damage, d)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(j.damage) == 0 {
		return err
	}
	if _, err := os.Stat(j.path + badSuffix); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	j.damage = nil // the operator has seen to it
	if _, err := j.db.ExecContext(ctx, `DELETE FROM damage`); err != nil && !errors.Is(explain(err), ErrFull) {
		return err
	}
	return nil
}

// checkMark finds a journal that holds nothing although something was kept: somebody removed or emptied the file.
func (j *Journal) checkMark(ctx context.Context) error {
	var rows int64
	for _, t := range tables() {
		now, err := readTotals(ctx, j.db, t)
		if err != nil {
			return err
		}
		rows += now.rows
	}
	_, err := os.Stat(j.path + markSuffix)
	j.marked = err == nil
	if rows > 0 {
		j.mark()
		return nil
	}
	if j.marked && len(j.damage) == 0 {
		j.damage = []Damage{{At: time.Now(), Kind: "journal", Why: fmt.Sprintf(
			"it is empty although something was kept in it: put back a copy of %s, or remove %s to go on with nothing",
			j.path, j.path+markSuffix)}}
	}
	return nil
}

// mark notes beside the journal that something is kept in it. A disk without room leaves it for the next order.
func (j *Journal) mark() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.marked {
		j.marked = datafile.Replace(j.path+markSuffix, []byte("orders are kept in the journal beside this file\n")) == nil
	}
}

// unmark takes the note away when the last order is taken back.
func (j *Journal) unmark(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var rows int64
	err := j.db.QueryRowContext(ctx, `SELECT coalesce(sum(rows), 0) FROM totals`).Scan(&rows)
	if err == nil && rows == 0 && j.marked {
		j.marked = os.Remove(j.path+markSuffix) != nil
	}
}
