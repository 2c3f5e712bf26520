package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// trust is what a node trusts beyond its own organisation: records whose meaning is package federation's.
func trust() table {
	return table{"trust", "name", "spec", "trust", func(_, v string) error {
		if !json.Valid([]byte(v)) {
			return errors.New("it is no JSON")
		}
		return nil
	}}
}

// SaveTrust keeps records of trust by name, each in place of the one before, and forgets those in drop: all of it, or
// nothing.
func (j *Journal) SaveTrust(ctx context.Context, put map[string]json.RawMessage, drop []string) error {
	t := trust()
	err := within(ctx, j.db, func(tx *sql.Tx) error {
		for _, name := range drop {
			if _, err := t.unsetIn(ctx, tx, name); err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(put)) {
			spec := string(put[name])
			if err := t.check(name, spec); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := t.setIn(ctx, tx, name, spec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep trust: %w", explain(err))
	}
	if len(put) > 0 {
		j.mark()
	}
	if len(drop) > 0 {
		j.unmark(ctx)
	}
	return nil
}

// Trust returns all records of trust, by name.
func (j *Journal) Trust(ctx context.Context) (map[string]json.RawMessage, error) {
	rows, err := trust().read(ctx, j.db, "")
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	all := make(map[string]json.RawMessage, len(rows))
	for _, r := range rows {
		all[r.key] = json.RawMessage(r.value)
	}
	return all, nil
}

// addTrust is the migration to records of trust.
func addTrust(ctx context.Context, tx *sql.Tx) error {
	t := trust()
	if _, err := tx.ExecContext(ctx, `CREATE TABLE trust (name TEXT PRIMARY KEY,
		spec TEXT NOT NULL CHECK (json_valid(spec)), sum INTEGER NOT NULL) STRICT`); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO totals VALUES (?, 0, 0)`, t.name)
	return err
}
