// Package journal keeps what an operator has ordered, in SQLite: peers, services of this node, and the ports that
// were given. A restart restores it and dials again. Of what was learned from peers only who offers a contested name is
// kept; of what merely happened, nothing.
//
// Every row carries a checksum, and every table the number and the sum of its rows. What is damaged when the file is
// opened is set aside and named (see Damage), and the rest serves.
package journal

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Peer is a configured neighbour, as the operator ordered it. Fields mean what they mean in speaker.Peer.
type Peer struct {
	Node            bgp.NodeID    `json:"node"`
	Addresses       []string      `json:"addresses,omitempty"`
	HoldTimeSeconds int           `json:"hold_time_seconds,omitempty"`
	Import          *filter.Chain `json:"import,omitempty"`
	Export          *filter.Chain `json:"export,omitempty"`
	Client          bool          `json:"client,omitempty"`
	MaxRoutes       int           `json:"max_routes,omitempty"`
	MaxBytes        int           `json:"max_bytes,omitempty"`
	MaxRouteBytes   int           `json:"max_route_bytes,omitempty"`
	MaxLocalPref    uint32        `json:"max_local_pref,omitempty"`
	OverLimit       string        `json:"over_limit,omitempty"` // "" for block
	Role            bgp.Role      `json:"role,omitempty"`
	Namespaces      []string      `json:"namespaces,omitempty"`
	Attested        bool          `json:"attested,omitempty"`
	AttestedPath    bool          `json:"attested_path,omitempty"`
	Pins            []string      `json:"pins,omitempty"`
	AddPath         uint8         `json:"add_path,omitempty"`
	Liveness        time.Duration `json:"liveness,omitempty"`
	Subscribe       []bgp.Service `json:"subscribe"`                  // nil for everything
	LongLivedStale  string        `json:"long_lived_stale,omitempty"` // a duration; "" for as long as the peer asks
	Disabled        bool          `json:"disabled,omitempty"`
	// Label names the file that manages the peer (catalyst apply); "" for none.
	Label string `json:"label,omitempty"`
}

// Service is a service of this node.
type Service struct {
	Name     bgp.Service  `json:"name"`
	Protocol bgp.Protocol `json:"protocol"`
	Address  string       `json:"address"` // HOST:PORT of the workload, or of the first of several
	// Others are the further workloads of the service, HOST:PORT: they share its traffic.
	Others []string `json:"others,omitempty"`
	// Port is the local port that the operator chose for the TCP service at this node; 0 for none. See SavePorts for
	// whose the ports are.
	Port uint16 `json:"port,omitempty"`
	// HealthPath is how the workload is checked, as package probe spells it; "" for not at all. Zero values of the
	// others stand for its defaults.
	HealthPath     string        `json:"health_path,omitempty"`
	HealthInterval time.Duration `json:"health_interval,omitempty"`
	HealthTimeout  time.Duration `json:"health_timeout,omitempty"`
	HealthRise     int           `json:"health_rise,omitempty"`
	HealthFall     int           `json:"health_fall,omitempty"`
	// WithdrawDown has the service withdrawn while its workload is down, instead of announced as down.
	WithdrawDown bool            `json:"withdraw_down,omitempty"`
	Region       string          `json:"region,omitempty"`
	Tags         []string        `json:"tags,omitempty"`
	Communities  []bgp.Community `json:"communities,omitempty"`
	Weight       uint32          `json:"weight,omitempty"`
	MED          uint32          `json:"med,omitempty"`
	// Label names the file that manages the service (catalyst apply); "" for none.
	Label string `json:"label,omitempty"`
	// Yields lets learned paths of higher local preference win over this node's own workload.
	Yields bool `json:"yields,omitempty"`
	// Idle is how long a connection to the workload is kept without a request; 0 for the node's default.
	Idle time.Duration `json:"idle,omitempty"`
	// TLS says that the workload speaks TLS, and whom the node believes there; nil for one that does not.
	TLS *WorkloadTLS `json:"tls,omitempty"`
	// Found says what found the service; nil for one that an operator ordered.
	Found *Found `json:"found,omitempty"`
}

// Found is where discovery found a service.
type Found struct {
	By string `json:"by"` // the source, as it stands in the configuration: docker, or dir=/etc/catalyst/services.d
	In string `json:"in"` // what in it: the names of containers, or that of a file
}

// WorkloadTLS is how the node, and its Envoy, know the workload of a service that speaks TLS. One of CA, ID and
// Insecure is set at least.
type WorkloadTLS struct {
	CA string `json:"ca,omitempty"` // certificates of those who may sign the workload's, PEM; "" for none
	// Name is asked for (SNI, RFC 6066) and has to be in the certificate, unless ID is; "" for the host of the service's
	// first address.
	Name string `json:"name,omitempty"`
	// ID is the SPIFFE id that the certificate has to carry; "" for none. Without CA it is judged by the roots of its
	// organisation.
	ID       string `json:"id,omitempty"`
	Insecure bool   `json:"insecure,omitempty"` // whoever answers is believed
}

// Journal is an open store. It is safe for concurrent use; there is one writer at a time.
type Journal struct {
	db     *sql.DB
	path   string
	damage []Damage
	marked bool // the file that says that something is kept is there; guarded by mu
	mu     sync.Mutex
}

// ErrFull tells that there was no room to write; what was there before is untouched.
var ErrFull = errors.New("the disk is full: nothing was changed; free some space and try again") //nolint:gochecknoglobals // a sentinel

// Close closes the file.
func (j *Journal) Close() error { return j.db.Close() }

// explain turns SQLite's codes for a full disk into words: SQLITE_FULL, and that for no room for the memory that its
// processes share.
func explain(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code()&0xff == lib.SQLITE_FULL || e.Code() == lib.SQLITE_IOERR_SHMSIZE) {
		return ErrFull
	}
	return err
}

// put keeps a record, unless it could not be read again.
func put[T any](ctx context.Context, j *Journal, t table, key string, spec T) error {
	b, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(b, new(T))
	}
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", t.one, key, err)
	}
	return j.set(ctx, t, key, string(b))
}

func (j *Journal) set(ctx context.Context, t table, key, value string) error {
	if err := t.set(ctx, j.db, key, value); err != nil {
		return fmt.Errorf("keep %s %s: %w", t.one, key, explain(err))
	}
	j.mark()
	return nil
}

func (j *Journal) remove(ctx context.Context, t table, key string) (bool, error) {
	had, err := t.unset(ctx, j.db, key)
	if err != nil {
		return false, fmt.Errorf("forget %s %s: %w", t.one, key, explain(err))
	}
	j.unmark(ctx)
	return had, nil
}

// PutPeer keeps a peer, or replaces it.
func (j *Journal) PutPeer(ctx context.Context, p Peer) error {
	return put(ctx, j, peers(), p.Node.String(), p)
}

// RemovePeer forgets a peer and tells whether there was one.
func (j *Journal) RemovePeer(ctx context.Context, n bgp.NodeID) (bool, error) {
	return j.remove(ctx, peers(), n.String())
}

// Peers returns every peer, by node.
func (j *Journal) Peers(ctx context.Context) ([]Peer, error) {
	return list[Peer](ctx, j.db, `SELECT spec FROM peers ORDER BY node`)
}

// PutService keeps a service, or replaces it.
func (j *Journal) PutService(ctx context.Context, s Service) error {
	return put(ctx, j, services(), string(s.Name), s)
}

// RemoveService forgets a service and tells whether there was one.
func (j *Journal) RemoveService(ctx context.Context, name bgp.Service) (bool, error) {
	return j.remove(ctx, services(), string(name))
}

// Services returns every service, by name.
func (j *Journal) Services(ctx context.Context) ([]Service, error) {
	return list[Service](ctx, j.db, `SELECT spec FROM services ORDER BY name`)
}

func list[T any](ctx context.Context, db *sql.DB, query string) (all []T, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var spec string
		if err := rows.Scan(&spec); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		var v T
		if err := json.Unmarshal([]byte(spec), &v); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
