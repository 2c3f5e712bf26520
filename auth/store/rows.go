package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Reader reads. A Store is one, and inside a change its Tx is one that sees what the change did so far.
type Reader struct{ q querier }

// Tx is a change under way.
type Tx struct {
	Reader
	db    querier
	entry Entry
}

// Note sets the detail of the change's audit entry.
func (tx *Tx) Note(format string, args ...any) { tx.entry.Detail = fmt.Sprintf(format, args...) }

// Target sets whom the change's audit entry is about.
func (tx *Tx) Target(target string) { tx.entry.Target = target }

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// list reads all rows of a query.
func list[T any](ctx context.Context, r Reader, query string, read func(scan func(...any) error) (T, error),
	args ...any) (all []T, err error) {
	rows, err := r.q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := read(rows.Scan)
		if err != nil {
			return nil, explain(err)
		}
		all = append(all, v)
	}
	return all, explain(rows.Err())
}

// one reads the first row of a query; nil if there is none.
func one[T any](ctx context.Context, r Reader, query string, read func(scan func(...any) error) (T, error),
	args ...any) (*T, error) {
	all, err := list(ctx, r, query, read, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func (tx *Tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := tx.db.ExecContext(ctx, query, args...)
	return err
}

// Sealed is a key in its slot: a signing key, or an authority with its chain.
type Sealed struct {
	ID        string // kid of a signing key, thumbprint of an authority's certificate
	Slot      string
	Chain     string // PEM; "" for signing keys
	Secret    string // sealed
	Published time.Time
	Signs     time.Time
	Ends      time.Time
}

func scanSealed(scan func(...any) error) (k Sealed, err error) {
	var published, signs, ends int64
	err = scan(&k.ID, &k.Slot, &k.Chain, &k.Secret, &published, &signs, &ends)
	k.Published, k.Signs, k.Ends = fromMillis(published), fromMillis(signs), fromMillis(ends)
	return k, err
}

// SigningKeys returns every token signing key.
func (r Reader) SigningKeys(ctx context.Context) ([]Sealed, error) {
	return list(ctx, r, `SELECT kid, slot, '', sealed, published, signs, ends FROM signing_keys ORDER BY kid`, scanSealed)
}

// SetSigningKeys replaces all token signing keys.
func (tx *Tx) SetSigningKeys(ctx context.Context, all []Sealed) error {
	if err := tx.exec(ctx, `DELETE FROM signing_keys`); err != nil {
		return err
	}
	for _, k := range all {
		if err := tx.exec(ctx,
			`INSERT INTO signing_keys (kid, slot, sealed, published, signs, ends) VALUES ($1, $2, $3, $4, $5, $6)`,
			k.ID, k.Slot, k.Secret, millis(k.Published), millis(k.Signs), millis(k.Ends)); err != nil {
			return err
		}
	}
	return nil
}

// Authorities returns every certificate authority.
func (r Reader) Authorities(ctx context.Context) ([]Sealed, error) {
	return list(ctx, r, `SELECT id, slot, chain, sealed, published, signs, ends FROM authorities ORDER BY id`, scanSealed)
}

// SetAuthorities replaces all certificate authorities.
func (tx *Tx) SetAuthorities(ctx context.Context, all []Sealed) error {
	if err := tx.exec(ctx, `DELETE FROM authorities`); err != nil {
		return err
	}
	for _, k := range all {
		if err := tx.exec(ctx,
			`INSERT INTO authorities (id, slot, chain, sealed, published, signs, ends) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			k.ID, k.Slot, k.Chain, k.Secret, millis(k.Published), millis(k.Signs), millis(k.Ends)); err != nil {
			return err
		}
	}
	return nil
}

// Setting returns a setting; "" if it was never made.
func (r Reader) Setting(ctx context.Context, name string) (string, error) {
	v, err := one(ctx, r, `SELECT value FROM settings WHERE name = $1`,
		func(scan func(...any) error) (s string, err error) {
			err = scan(&s)
			return s, err
		}, name)
	if err != nil || v == nil {
		return "", err
	}
	return *v, nil
}

// Set makes a setting.
func (tx *Tx) Set(ctx context.Context, name, value string) error {
	return tx.exec(ctx,
		`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name,
		value)
}

// Token is a token that was minted: what is known of it, never the token.
type Token struct {
	ID         string
	Parent     string // jti of the token that it was exchanged for; "" for none
	Subject    string
	Principal  string
	Entity     string // its name
	Audience   []string
	Thumbprint string // of the certificate that it is bound to; "" for none
	KeyID      string
	Minter     string
	Issued     time.Time
	Expires    time.Time
}

func scanToken(scan func(...any) error) (t Token, err error) {
	var audience string
	var issued, expires int64
	if err = scan(&t.ID, &t.Parent, &t.Subject, &t.Principal, &t.Entity, &audience, &t.Thumbprint, &t.KeyID, &t.Minter,
		&issued, &expires); err != nil {
		return t, err
	}
	t.Issued, t.Expires = fromMillis(issued), fromMillis(expires)
	return t, json.Unmarshal([]byte(audience), &t.Audience)
}

const tokenColumns = `jti, parent, subject, principal, entity, audience, thumbprint, kid, minter, issued, expires`

// AddToken keeps a token; an id that is there already is an error.
func (tx *Tx) AddToken(ctx context.Context, t Token) error {
	audience, err := json.Marshal(t.Audience)
	if err != nil {
		return err
	}
	return tx.exec(ctx, `INSERT INTO tokens (`+tokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.ID, t.Parent, t.Subject, t.Principal,
		t.Entity, string(audience), t.Thumbprint, t.KeyID, t.Minter, millis(t.Issued), millis(t.Expires))
}

// TokenFilter chooses tokens; "" matches all.
type TokenFilter struct {
	Subject, Thumbprint string
	ExpiresAfter        time.Time
	After               string // a jti: only those behind it
	Limit               int    // at most 1,000; 0 for as many
}

// Tokens returns tokens by jti.
func (r Reader) Tokens(ctx context.Context, f TokenFilter) ([]Token, error) {
	if f.Limit <= 0 || f.Limit > 1000 {
		f.Limit = 1000
	}
	return list(ctx, r, `SELECT `+tokenColumns+
		` FROM tokens WHERE jti > $1 AND ($2 = '' OR subject = $2) AND ($3 = '' OR thumbprint = $3) AND expires > $4
		ORDER BY jti LIMIT $5`, scanToken, f.After, f.Subject, f.Thumbprint, millis(f.ExpiresAfter), f.Limit)
}

// Token returns the token of that id; nil if it was never minted here, or is forgotten.
func (r Reader) Token(ctx context.Context, jti string) (*Token, error) {
	return one(ctx, r, `SELECT `+tokenColumns+` FROM tokens WHERE jti = $1`, scanToken, jti)
}

// Exchanged returns the tokens that a token was exchanged for, and those of them in turn.
func (r Reader) Exchanged(ctx context.Context, jti string) ([]Token, error) {
	return list(ctx,
		r, `WITH RECURSIVE chain AS (SELECT jti FROM tokens WHERE parent = $1 UNION SELECT t.jti FROM tokens t JOIN chain c ON t.parent = c.jti)
		SELECT `+tokenColumns+` FROM tokens WHERE jti IN (SELECT jti FROM chain) ORDER BY jti`, scanToken, jti)
}
