package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Entry is one line of the audit log: who did what to whom, and what came of it. It never holds a token, a secret or
// a key.
type Entry struct {
	Seq     int64     `json:"seq"` // from 1, without gaps
	At      time.Time `json:"at"`  // to the millisecond
	Actor   string    `json:"actor"`
	Action  string    `json:"action"` // such as token.mint
	Target  string    `json:"target"` // what it was done to: a jti, a node, a key
	Outcome string    `json:"outcome"`
	Detail  string    `json:"detail"`
	Prev    string    `json:"prev"` // the hash of the entry before; "" for the first
	Hash    string    `json:"hash"` // SHA-256 over all of the above, in hexadecimal
}

// The outcomes.
const (
	Done    = "done"
	Refused = "refused"
)

const maxDetail = 500 // bytes of each text

func (e *Entry) digest() string {
	b, err := json.Marshal([]any{e.Seq, e.At.UnixMilli(), e.Actor, e.Action, e.Target, e.Outcome, e.Detail, e.Prev})
	if err != nil {
		panic(err) // texts and numbers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Record writes an audit entry of something that changed nothing, such as a refusal.
func (s *Store) Record(ctx context.Context, e Entry) error { return s.Write(ctx, e, nil) }

// audit appends the entry of this change.
func (tx *Tx) audit(ctx context.Context) error {
	e := &tx.entry
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At = time.UnixMilli(e.At.UnixMilli()).UTC()
	if e.Outcome == "" {
		e.Outcome = Done
	}
	for _, text := range []*string{&e.Actor, &e.Action, &e.Target, &e.Detail} {
		*text = clip(*text, maxDetail)
	}
	e.Hash = e.digest()
	_, err := tx.db.ExecContext(ctx, `INSERT INTO audit (seq, at, actor, action, target, outcome, detail, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, e.Seq, e.At.UnixMilli(), e.Actor, e.Action, e.Target, e.Outcome,
		e.Detail, e.Prev, e.Hash)
	if err == nil {
		_, err = tx.db.ExecContext(ctx, `UPDATE head SET hash = $1 WHERE id = 1`, e.Hash)
	}
	return err
}

// clip cuts a text to most bytes of valid UTF-8 without NUL, which PostgreSQL does not take.
func clip(s string, most int) string {
	out := make([]rune, 0, min(len(s), most))
	n := 0
	for _, r := range s {
		if r == 0 {
			r = '\ufffd'
		}
		if n += len(string(r)); n > most {
			break
		}
		out = append(out, r)
	}
	return string(out)
}

// Audit returns up to limit entries after a sequence number, the oldest first.
func (r Reader) Audit(ctx context.Context, after int64, limit int) ([]Entry, error) {
	return list(ctx, r,
		`SELECT seq, at, actor, action, target, outcome, detail, prev, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2`,
		func(scan func(...any) error) (e Entry, err error) {
			var at int64
			err = scan(&e.Seq, &at, &e.Actor, &e.Action, &e.Target, &e.Outcome, &e.Detail, &e.Prev, &e.Hash)
			e.At = time.UnixMilli(at).UTC()
			return e, err
		}, after, limit)
}

// Head returns the sequence number and hash of the last entry. Whenever anything changed, in whatever process, it
// did.
func (r Reader) Head(ctx context.Context) (seq int64, hash string, err error) {
	err = explain(r.q.QueryRowContext(ctx, `SELECT seq, hash FROM head WHERE id = 1`).Scan(&seq, &hash))
	return seq, hash, err
}

// Broken tells where the audit log is not what was written.
type Broken struct {
	Seq int64
	Why string
}

// Error implements error.
func (b *Broken) Error() string {
	return fmt.Sprintf("audit entry %d %s: somebody changed the log behind the service's back", b.Seq, b.Why)
}

// VerifyAudit follows the chain from its first entry to the head and returns the head. anchor, if it is not zero, is
// a sequence number and hash noted earlier that the log must still hold: it shows that the log was not written anew
// as a whole. The error is a *Broken where the log was changed.
func (r Reader) VerifyAudit(ctx context.Context, anchor int64, anchorHash string) (seq int64, hash string, err error) {
	headSeq, headHash, err := r.Head(ctx)
	if err != nil {
		return 0, "", err
	}
	for {
		entries, err := r.Audit(ctx, seq, 1000)
		if err != nil {
			return seq, hash, err
		}
		for _, e := range entries {
			switch {
			case seq == headSeq:
				return seq, hash, checkHead(seq, hash, headHash, anchor) // it was appended to while we read
			case e.Seq != seq+1:
				return seq, hash, &Broken{seq + 1, "is missing"}
			case e.Prev != hash:
				return seq, hash, &Broken{e.Seq, "does not follow the one before"}
			case e.digest() != e.Hash:
				return seq, hash, &Broken{e.Seq, "was changed"}
			case e.Seq == anchor && e.Hash != anchorHash:
				return seq, hash, &Broken{e.Seq, "is not the one that was noted"}
			}
			seq, hash = e.Seq, e.Hash
		}
		if len(entries) == 0 {
			if seq < headSeq {
				return seq, hash, &Broken{seq + 1, "is missing"}
			}
			return seq, hash, checkHead(seq, hash, headHash, anchor)
		}
	}
}

func checkHead(seq int64, hash, headHash string, anchor int64) error {
	switch {
	case hash != headHash:
		return &Broken{seq, "is not the last that was written"}
	case anchor > seq:
		return &Broken{anchor, "is missing, though it was noted"}
	}
	return nil
}
