package store

import (
	"context"
	"time"
)

// Join is a permission to join once.
type Join struct {
	Hash    string // SHA-256 of its secret, in hexadecimal
	Node    string // the node's short name that it is for
	Minter  string
	Created time.Time
	Expires time.Time
	Used    time.Time // zero until it is redeemed
	Key     string    // hash of the public key that redeemed it
	Chain   string    // PEM that was answered
}

func scanJoin(scan func(...any) error) (j Join, err error) {
	var created, expires, used int64
	err = scan(&j.Hash, &j.Node, &j.Minter, &created, &expires, &used, &j.Key, &j.Chain)
	j.Created, j.Expires, j.Used = fromMillis(created), fromMillis(expires), fromMillis(used)
	return j, err
}

const joinColumns = `hash, node, minter, created, expires, used, csr_key, chain`

// AddJoin keeps a permission to join.
func (tx *Tx) AddJoin(ctx context.Context, j Join) error {
	return tx.exec(ctx, `INSERT INTO joins (`+joinColumns+`) VALUES ($1, $2, $3, $4, $5, 0, '', '')`, j.Hash, j.Node,
		j.Minter, millis(j.Created), millis(j.Expires))
}

// Join returns the permission with that hash; nil if there is none.
func (r Reader) Join(ctx context.Context, hash string) (*Join, error) {
	return one(ctx, r, `SELECT `+joinColumns+` FROM joins WHERE hash = $1`, scanJoin, hash)
}

// Redeem marks a permission as used, by whom and what was answered. It returns false, and changes nothing, if it was
// used already or is over.
func (tx *Tx) Redeem(ctx context.Context, hash string, now time.Time, key, chain string) (bool, error) {
	res, err := tx.db.ExecContext(ctx,
		`UPDATE joins SET used = $1, csr_key = $2, chain = $3 WHERE hash = $4 AND used = 0 AND expires > $1`, millis(now),
		key, chain, hash)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Node is a node of the organisation.
type Node struct {
	Name       string // short: "edge-1"
	State      string // NodeActive or NodeRevoked
	Key        string // hash of the public key that it joined with, and proves when it comes back
	Joined     time.Time
	Renewed    time.Time // its last certificate
	Expires    time.Time // of that certificate
	Serial     string
	Thumbprint string
	Credits    int       // how often it may come back after its certificate ended, without a join token
	CreditsAt  time.Time // when that was counted anew
	Continuity string    // hash of what its next renewal has to show
	Former     string    // hash of what the last one showed, for an answer that was lost
	Roots      string    // hash of the roots that it said it uses
	Alarm      string    // "" unless something about it wants the operator's eye
}

// The states of a node.
const (
	NodeActive  = "active"
	NodeRevoked = "revoked"
)

const nodeColumns = `node, state, node_key, joined, renewed, expires, serial, thumbprint, credits, credits_at, continuity, former, roots, alarm`

func scanNode(scan func(...any) error) (n Node, err error) {
	var joined, renewed, expires, at int64
	err = scan(&n.Name, &n.State, &n.Key, &joined, &renewed, &expires, &n.Serial, &n.Thumbprint, &n.Credits, &at,
		&n.Continuity, &n.Former, &n.Roots, &n.Alarm)
	n.Joined, n.Renewed, n.Expires, n.CreditsAt = fromMillis(joined), fromMillis(renewed), fromMillis(expires),
		fromMillis(at)
	return n, err
}

// PutNode keeps a node, or replaces it.
func (tx *Tx) PutNode(ctx context.Context, n Node) error {
	return tx.exec(ctx, `INSERT INTO nodes (`+nodeColumns+
		`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (node) DO UPDATE SET state = excluded.state, node_key = excluded.node_key, joined = excluded.joined,
		renewed = excluded.renewed,
		expires = excluded.expires, serial = excluded.serial, thumbprint = excluded.thumbprint, credits = excluded.credits,
		credits_at = excluded.credits_at, continuity = excluded.continuity, former = excluded.former, roots = excluded.roots, alarm = excluded.alarm`, n.Name, n.State, n.Key, millis(n.Joined), millis(n.Renewed), millis(n.Expires), n.Serial,
		n.Thumbprint, n.Credits, millis(n.CreditsAt), n.Continuity, n.Former, n.Roots, n.Alarm)
}

// Nodes returns every node, by name.
func (r Reader) Nodes(ctx context.Context) ([]Node, error) {
	return list(ctx, r, `SELECT `+nodeColumns+` FROM nodes ORDER BY node`, scanNode)
}

// Node returns a node by its short name; nil if there is none.
func (r Reader) Node(ctx context.Context, name string) (*Node, error) {
	return one(ctx, r, `SELECT `+nodeColumns+` FROM nodes WHERE node = $1`, scanNode, name)
}

// Certificate is a certificate that was issued.
type Certificate struct {
	Serial     string // hexadecimal
	Subject    string // SPIFFE id
	Thumbprint string // x5t#S256
	Authority  string // id of the authority that signed it
	Issued     time.Time
	Expires    time.Time
}

const certificateColumns = `serial, subject, thumbprint, authority, issued, expires`

// AddCertificate keeps a certificate.
func (tx *Tx) AddCertificate(ctx context.Context, c Certificate) error {
	return tx.exec(ctx, `INSERT INTO certificates (`+certificateColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`, c.Serial,
		c.Subject, c.Thumbprint, c.Authority,
		millis(c.Issued), millis(c.Expires))
}

// Certificates returns those of a subject that are valid after a time, the latest first.
func (r Reader) Certificates(ctx context.Context, subject string, after time.Time) ([]Certificate, error) {
	return list(ctx, r,
		`SELECT `+certificateColumns+` FROM certificates WHERE subject = $1 AND expires > $2 ORDER BY issued DESC, serial`,
		scanCertificate,
		subject, millis(after))
}

// LastExpiry returns when the last certificate of an authority ends; zero if it issued none.
func (r Reader) LastExpiry(ctx context.Context, authority string) (time.Time, error) {
	v, err := one(ctx, r, `SELECT COALESCE(MAX(expires), 0) FROM certificates WHERE authority = $1`,
		func(scan func(...any) error) (n int64, err error) {
			err = scan(&n)
			return n, err
		}, authority)
	if err != nil || v == nil {
		return time.Time{}, err
	}
	return fromMillis(*v), nil
}

func scanCertificate(scan func(...any) error) (c Certificate, err error) {
	var issued, expires int64
	err = scan(&c.Serial, &c.Subject, &c.Thumbprint, &c.Authority, &issued, &expires)
	c.Issued, c.Expires = fromMillis(issued), fromMillis(expires)
	return c, err
}

// Revocation is something that is not believed any more, or with Lifted is again.
type Revocation struct {
	Seq     int64 // of the change, rising over all revocations
	Kind    string
	Value   string
	Reason  string
	At      time.Time
	Expires time.Time // when nothing that it is about can be valid any more
	Lifted  bool
}

const revocationColumns = `seq, kind, value, reason, at, expires, lifted`

// Revoke keeps a revocation under the next sequence number, and returns it. One of the same kind and value is
// replaced; it is never shortened.
func (tx *Tx) Revoke(ctx context.Context, r Revocation) (Revocation, error) {
	if err := tx.db.QueryRowContext(ctx,
		`UPDATE counters SET value = value + 1 WHERE name = 'revocation' RETURNING value`).Scan(&r.Seq); err != nil {
		return r, err
	}
	lifted := 0
	if r.Lifted {
		lifted = 1
	}
	old, err := one(ctx, tx.Reader, `SELECT `+revocationColumns+` FROM revocations WHERE kind = $1 AND value = $2`,
		scanRevocation, r.Kind, r.Value)
	if err != nil {
		return r, err
	}
	if old != nil && old.Expires.After(r.Expires) {
		r.Expires = old.Expires
	}
	return r, tx.exec(ctx, `INSERT INTO revocations (`+revocationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (kind, value) DO UPDATE SET seq = excluded.seq, reason = excluded.reason, at = excluded.at, expires = excluded.expires, lifted = excluded.lifted`,
		r.Seq, r.Kind, r.Value, clip(r.Reason, maxDetail), millis(r.At), millis(r.Expires), lifted)
}

// Skip leaves out numbers of revocations: whoever heard of any that this store does not know, because it was put back
// from a backup, hears of the next one all the same.
func (tx *Tx) Skip(ctx context.Context, numbers int64) error {
	return tx.exec(ctx, `UPDATE counters SET value = value + $1 WHERE name = 'revocation'`, numbers)
}

// Revocations returns up to limit of those after a sequence number, in their order.
func (r Reader) Revocations(ctx context.Context, after int64, limit int) ([]Revocation, error) {
	return list(ctx, r, `SELECT `+revocationColumns+` FROM revocations WHERE seq > $1 ORDER BY seq LIMIT $2`,
		scanRevocation, after, limit)
}

// RevocationSeq returns the last sequence number that was given.
func (r Reader) RevocationSeq(ctx context.Context) (n int64, err error) {
	err = explain(r.q.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = 'revocation'`).Scan(&n))
	return n, err
}

func scanRevocation(scan func(...any) error) (r Revocation, err error) {
	var at, expires, lifted int64
	err = scan(&r.Seq, &r.Kind, &r.Value, &r.Reason, &at, &expires, &lifted)
	r.At, r.Expires, r.Lifted = fromMillis(at), fromMillis(expires), lifted != 0
	return r, err
}

// Prune forgets what nothing depends on any more: tokens, certificates, joins and revocations that were over at a
// time, which should lie a good while back.
func (tx *Tx) Prune(ctx context.Context, before time.Time) (rows int64, err error) {
	for _, query := range []string{
		`DELETE FROM tokens WHERE expires < $1`, `DELETE FROM certificates WHERE expires < $1`,
		`DELETE FROM joins WHERE expires < $1`,
		`DELETE FROM revocations WHERE expires < $1`,
	} {
		res, err := tx.db.ExecContext(ctx, query, millis(before))
		if err != nil {
			return rows, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return rows, err
		}
		rows += n
	}
	return rows, nil
}

// Expired counts the rows that Prune would forget.
func (r Reader) Expired(ctx context.Context, before time.Time) (n int64, err error) {
	err = explain(r.q.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM tokens WHERE expires < $1)
		+ (SELECT COUNT(*) FROM certificates WHERE expires < $1) + (SELECT COUNT(*) FROM joins WHERE expires < $1)
		+ (SELECT COUNT(*) FROM revocations WHERE expires < $1)`, millis(before)).Scan(&n))
	return n, err
}
