package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Offers are the nodes that are known to offer a name, the longest-standing first.
type Offers struct {
	Service  bgp.Service `json:"-"`
	Offerers []Offerer   `json:"offerers"`
}

// Offerer is one of them.
type Offerer struct {
	Node   bgp.NodeID `json:"node"`
	Since  time.Time  `json:"since"`            // when it was first heard to offer the name
	Agreed bool       `json:"agreed,omitempty"` // it was there first, or an operator agreed to it
}

func offerers() table {
	return table{"offerers", "service", "spec", "offerers of service", func(_, v string) error {
		var o Offers
		if err := json.Unmarshal([]byte(v), &o); err != nil {
			return err
		}
		if len(o.Offerers) == 0 {
			return errors.New("it names nobody")
		}
		return nil
	}}
}

// addOfferers is the migration to a journal that remembers who offers a name.
func addOfferers(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range []string{
		`CREATE TABLE offerers (service TEXT PRIMARY KEY, spec TEXT NOT NULL CHECK (json_valid(spec)),
		sum INTEGER NOT NULL) STRICT`,
		`INSERT INTO totals VALUES ('offerers', 0, 0)`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// SaveOffers keeps who offers each of the names, in the place of what was kept of it, and forgets the names that
// nobody is left of: all of it, or nothing.
func (j *Journal) SaveOffers(ctx context.Context, all []Offers) error {
	t := offerers()
	kept, gone := false, false
	err := within(ctx, j.db, func(tx *sql.Tx) error {
		for _, o := range all {
			if len(o.Offerers) == 0 {
				gone = true
				if _, err := t.unsetIn(ctx, tx, string(o.Service)); err != nil {
					return err
				}
				continue
			}
			spec, err := json.Marshal(o)
			if err == nil {
				err = t.check(string(o.Service), string(spec))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", o.Service, err)
			}
			if err := t.setIn(ctx, tx, string(o.Service), string(spec)); err != nil {
				return err
			}
			kept = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep who offers which name: %w", explain(err))
	}
	if kept {
		j.mark()
	}
	if gone {
		j.unmark(ctx)
	}
	return nil
}

// Offers returns who is known to offer each name, by name.
func (j *Journal) Offers(ctx context.Context) ([]Offers, error) {
	rows, err := offerers().read(ctx, j.db, "ORDER BY service")
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	all := make([]Offers, 0, len(rows))
	for _, r := range rows {
		o := Offers{Service: bgp.Service(r.key)}
		if err := json.Unmarshal([]byte(r.value), &o); err != nil {
			return nil, fmt.Errorf("read journal: offerers of %s: %w", r.key, err)
		}
		all = append(all, o)
	}
	return all, nil
}
