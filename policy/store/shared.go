package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Shared is the set that an organisation's nodes share: what its signer said of it, in JSON, and its bytes.
type Shared struct{ Head, Packed []byte }

// Shared returns the one that was put in force last; ErrNone if there was none.
func (s *Store) Shared(ctx context.Context) (sh Shared, err error) {
	var head string
	err = s.db.QueryRowContext(ctx, `SELECT head, packed FROM shared`).Scan(&head, &sh.Packed)
	if errors.Is(err, sql.ErrNoRows) {
		return sh, ErrNone
	}
	if err != nil {
		return sh, fmt.Errorf("read the organisation's policies: %w", err)
	}
	sh.Head = []byte(head)
	return sh, nil
}

func (sh *Shared) keep(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO shared VALUES (1, ?, ?)
		ON CONFLICT (one) DO UPDATE SET head = excluded.head, packed = excluded.packed`, string(sh.Head), sh.Packed)
	return err
}
