package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Port is the local port that belongs to a TCP service.
type Port struct {
	Service bgp.Service `json:"-"`
	Port    uint16      `json:"port"`
	Pinned  bool        `json:"pinned,omitempty"` // chosen by an operator
	Away    time.Time   `json:"away,omitzero"`    // since when no route led to the service; zero if one did
}

func localPorts() table {
	return table{"local_ports", "service", "spec", "port of service", func(_, v string) error {
		var p Port
		if err := json.Unmarshal([]byte(v), &p); err != nil {
			return err
		}
		if p.Port == 0 {
			return errors.New("it has no port")
		}
		return nil
	}}
}

// SavePorts keeps ports, each in the place of what was kept of its service, and forgets those of the services in
// drop: all of it, or nothing.
func (j *Journal) SavePorts(ctx context.Context, put []Port, drop []bgp.Service) error {
	t := localPorts()
	err := within(ctx, j.db, func(tx *sql.Tx) error {
		for _, svc := range drop {
			if _, err := t.unsetIn(ctx, tx, string(svc)); err != nil {
				return err
			}
		}
		for _, p := range put {
			spec, err := json.Marshal(p)
			if err == nil {
				err = t.check(string(p.Service), string(spec))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.Service, err)
			}
			if err := t.setIn(ctx, tx, string(p.Service), string(spec)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep ports: %w", explain(err))
	}
	if len(put) > 0 {
		j.mark()
	}
	if len(drop) > 0 {
		j.unmark(ctx)
	}
	return nil
}

// Ports returns the ports of all services that have one, by name.
func (j *Journal) Ports(ctx context.Context) ([]Port, error) {
	rows, err := localPorts().read(ctx, j.db, "ORDER BY service")
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	all := make([]Port, 0, len(rows))
	for _, r := range rows {
		p := Port{Service: bgp.Service(r.key)}
		if err := json.Unmarshal([]byte(r.value), &p); err != nil {
			return nil, fmt.Errorf("read journal: port of %s: %w", r.key, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// portsOfVersion3 is where ports were kept before a port belonged to a name for good.
func portsOfVersion3() table {
	return table{"ports", "service", "port", "port of service", func(_, v string) error {
		_, err := strconv.ParseUint(v, 10, 16)
		return err
	}}
}

// nameLocalPorts is the migration to ports that belong to names. A damaged row stays one: its checksum is wrong in
// the new table as well.
func nameLocalPorts(ctx context.Context, tx *sql.Tx) error {
	t := localPorts()
	if _, err := tx.ExecContext(ctx,
		`CREATE TABLE local_ports (service TEXT PRIMARY KEY, spec TEXT NOT NULL CHECK (json_valid(spec)),
		sum INTEGER NOT NULL) STRICT`); err != nil {
		return err
	}
	old := portsOfVersion3()
	rows, err := old.read(ctx, tx, "")
	if err != nil {
		return err
	}
	now, err := readTotals(ctx, tx, old)
	if err != nil {
		return err
	}
	for _, r := range rows {
		spec := `{"port":` + r.value + `}`
		sum := t.sum(r.key, spec)
		if old.wrong(r) != nil {
			sum = ^sum
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO local_ports VALUES (?, ?, ?)`, r.key, spec, sum); err != nil {
			return err
		}
		now = now.with(r.sum, 0).with(sum, 0)
	}
	for _, statement := range []string{`DROP TABLE ports`, `DELETE FROM totals WHERE name = 'ports'`} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO totals VALUES (?, ?, ?)`, t.name, now.rows, now.sum)
	return err
}
