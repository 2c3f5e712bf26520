package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/catalyst-router/catalyst/policy"
)

// Kept is how many decisions are kept at the most; the oldest go first.
const Kept = 1_000_000

const (
	queued    = 8192 // decisions that wait to be written; more are lost, and counted
	batch     = 2000 // of one transaction
	trimEvery = 20_000
)

// log is the decisions on their way to the disk.
type log struct {
	queue chan policy.Record
	lost  atomic.Uint64
}

// Log keeps a decision, later, and never blocks.
func (s *Store) Log(r policy.Record) {
	select {
	case s.log.queue <- r:
	default:
		s.log.lost.Add(1)
	}
}

// Lost returns how many decisions were not kept because the disk was too slow for them, or did not take them.
func (s *Store) Lost() uint64 { return s.log.lost.Load() }

// Run writes decisions until ctx ends, and then what is left. It returns nil: a decision that cannot be kept is
// counted as lost.
func (s *Store) Run(ctx context.Context) error {
	written := 0
	for {
		var records []policy.Record
		select {
		case <-ctx.Done():
			s.write(s.drain(nil))
			return nil
		case r := <-s.log.queue:
			records = s.drain([]policy.Record{r})
		}
		s.write(records)
		if written += len(records); written >= trimEvery {
			written = 0
			// next time, if not now
			_, _ = s.db.ExecContext(ctx, `DELETE FROM decisions WHERE number <= (SELECT max(number) FROM decisions) - ?`, Kept)
		}
	}
}

// drain takes what waits, up to a batch.
func (s *Store) drain(records []policy.Record) []policy.Record {
	for len(records) < batch {
		select {
		case r := <-s.log.queue:
			records = append(records, r)
		default:
			return records
		}
	}
	return records
}

func (s *Store) write(records []policy.Record) {
	if len(records) == 0 {
		return
	}
	ctx := context.Background() // what was taken is written, also at the end
	if err := s.insert(ctx, records); err != nil {
		s.log.lost.Add(uint64(len(records)))
	}
}

func (s *Store) insert(ctx context.Context, records []policy.Record) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	insert, err := tx.PrepareContext(ctx, `INSERT INTO decisions (id, at, allow, record) VALUES (?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	for _, r := range records {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := insert.ExecContext(ctx, r.ID, r.At.UnixNano(), r.Decision.Allow, string(text)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Decision returns a decision by its id; ErrNone if it was not kept, or is too old.
func (s *Store) Decision(ctx context.Context, id string) (r policy.Record, err error) {
	var text string
	err = s.db.QueryRowContext(ctx, `SELECT record FROM decisions WHERE id = ?`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNone
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil {
		return r, fmt.Errorf("read the decision: %w", err)
	}
	return r, nil
}

// Newest returns the newest decisions, newest first; denials alone if asked.
func (s *Store) Newest(ctx context.Context, most int, denied bool) ([]policy.Record, error) {
	var all []policy.Record
	query := `SELECT record FROM decisions ORDER BY number DESC LIMIT ?`
	if denied {
		query = `SELECT record FROM decisions WHERE NOT allow ORDER BY number DESC LIMIT ?`
	}
	err := s.each(ctx, query, most, func(text []byte) error {
		var r policy.Record
		err := json.Unmarshal(text, &r)
		all = append(all, r)
		return err
	})
	return all, err
}

// Since hands the decisions from a time on to f, oldest first, as they were written: in JSON.
func (s *Store) Since(ctx context.Context, from time.Time, f func(text []byte) error) error {
	return s.each(ctx, `SELECT record FROM decisions WHERE at >= ? ORDER BY number`, from.UnixNano(), f)
}

func (s *Store) each(ctx context.Context, query string, arg any, f func(text []byte) error) (err error) {
	rows, err := s.db.QueryContext(ctx, query, arg)
	if err != nil {
		return fmt.Errorf("read decisions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text sql.RawBytes
		if err := rows.Scan(&text); err != nil {
			return fmt.Errorf("read decisions: %w", err)
		}
		if err := f(text); err != nil {
			return err
		}
	}
	return rows.Err()
}
