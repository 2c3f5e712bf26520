package server

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// The administration API, as JSON. Its types are what the command line prints.
type (
	// Mint asks for a token.
	Mint struct {
		Principal  string       `json:"principal"`
		Subject    string       `json:"subject"`
		Entity     token.Entity `json:"entity"`
		Audience   []string     `json:"audience,omitempty"`
		Seconds    int64        `json:"seconds,omitempty"`
		Scopes     []string     `json:"scopes,omitempty"`
		Thumbprint string       `json:"x5t#S256,omitempty"`
		// BindCaller binds it to the certificate of the caller's connection.
		BindCaller bool `json:"bind_caller,omitempty"`
	}
	// Minted is a token, once.
	Minted struct {
		Token   string    `json:"token"`
		ID      string    `json:"jti"`
		Expires time.Time `json:"expires"`
	}
	// TokenInfo is what is known of a token that was minted.
	TokenInfo struct {
		ID         string    `json:"jti"`
		Parent     string    `json:"exchanged_from,omitempty"`
		Subject    string    `json:"subject"`
		Principal  string    `json:"principal"`
		Entity     string    `json:"entity"`
		Audience   []string  `json:"audience"`
		Thumbprint string    `json:"x5t#S256,omitempty"`
		KeyID      string    `json:"kid"`
		Minter     string    `json:"minter"`
		Issued     time.Time `json:"issued"`
		Expires    time.Time `json:"expires"`
	}
	// Revoke asks for a revocation: of a kind and value, or of a token by its text.
	Revoke struct {
		Kind   string `json:"kind,omitempty"`
		Value  string `json:"value,omitempty"`
		Token  string `json:"token,omitempty"`
		Reason string `json:"reason,omitempty"`
	}
	// KeyInfo is a token signing key.
	KeyInfo struct {
		ID        string     `json:"kid"`
		Slot      string     `json:"slot"`
		Published time.Time  `json:"published"`
		Signs     *time.Time `json:"signs,omitempty"`
		Until     *time.Time `json:"until,omitempty"`
	}
	// Rotate asks for a rotation of the token keys.
	Rotate struct {
		GraceSeconds int64 `json:"grace_seconds"`
		Immediate    bool  `json:"immediate"`
	}
	// JoinToken asks for a join token.
	JoinToken struct {
		Node    string `json:"node"`
		Seconds int64  `json:"seconds,omitempty"`
		// OIDC leaves the secret out, for a node that joins by a token of an external issuer.
		OIDC bool `json:"oidc,omitempty"`
	}
	// Joining is a join token, once.
	Joining struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires"`
	}
	// NodeInfo is a node of the organisation.
	NodeInfo struct {
		Name    string     `json:"node"`
		State   string     `json:"state"`
		Joined  *time.Time `json:"joined,omitempty"`
		Renewed *time.Time `json:"renewed,omitempty"`
		Expires *time.Time `json:"expires,omitempty"`
		Serial  string     `json:"serial,omitempty"`
		Credits int        `json:"credits"` // returns that are left
		Since   *time.Time `json:"credits_since,omitempty"`
		Alarm   string     `json:"alarm,omitempty"`
	}
	// RevokeNode asks for the end of a node.
	RevokeNode struct {
		Node   string `json:"node"`
		Reason string `json:"reason,omitempty"`
	}
	// RotateCA asks for a rotation of the authority.
	RotateCA struct {
		Immediate   bool `json:"immediate"`
		Compromised bool `json:"compromised"`
	}
	// AuthorityInfo is a certificate authority.
	AuthorityInfo struct {
		ID        string     `json:"sha256"` // of its root
		Slot      string     `json:"slot"`
		Published time.Time  `json:"published"`
		Signs     *time.Time `json:"signs,omitempty"`
		Ends      *time.Time `json:"ends,omitempty"`
	}
	// AuditHead is the last entry of a log that was found whole.
	AuditHead struct {
		Seq  int64  `json:"seq"`
		Hash string `json:"hash"`
	}
)

func (s *Server) admin(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/tokens", handle(s, s.mint))
	mux.HandleFunc("GET /v1/tokens", handle(s, s.tokens))
	mux.HandleFunc("POST /v1/revocations", handle(s, s.revokeBy))
	mux.HandleFunc("GET /v1/revocations", s.revocations)
	mux.HandleFunc("GET /v1/keys", handle(s, s.keys))
	mux.HandleFunc("POST /v1/keys/rotate", handle(s, s.rotate))
	mux.HandleFunc("POST /v1/joins", handle(s, s.joinToken))
	mux.HandleFunc("GET /v1/nodes", handle(s, s.nodes))
	mux.HandleFunc("POST /v1/nodes/revoke", handle(s, s.revokeNode))
	mux.HandleFunc("GET /v1/authorities", handle(s, s.authorities))
	mux.HandleFunc("POST /v1/authorities/rotate", handle(s, s.rotateCA))
	mux.HandleFunc("GET /v1/audit", handle(s, s.audit))
	mux.HandleFunc("GET /v1/audit/verify", handle(s, s.verifyAudit))
	mux.HandleFunc("GET /v1/roots.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.cfg.Service.Roots())
	})
	// One certificate after the other, as SPIFFE's library for Rust reads them.
	mux.HandleFunc("GET /v1/roots.der", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pkix-cert")
		for rest := s.cfg.Service.Roots(); ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				return
			}
			_, _ = w.Write(block.Bytes)
		}
	})
}

// handle is a method of the API: it knows who asks, and reads and writes JSON, strictly.
func handle[In, Out any](s *Server, do func(r *http.Request, c service.Caller, in In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		c, err := s.caller(r)
		if err != nil {
			s.unauthenticated(w, err)
			return
		}
		var in In
		if r.Method == http.MethodPost {
			b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			dec := json.NewDecoder(bytes.NewReader(b))
			dec.DisallowUnknownFields()
			if err == nil {
				err = dec.Decode(&in)
			}
			if err != nil || dec.More() {
				s.fail(w, &service.Error{Code: service.Invalid, Text: fmt.Sprintf("the body: %v", err)})
				return
			}
		}
		out, err := do(r, c, in)
		if err != nil {
			s.fail(w, err)
			return
		}
		reply(w, http.StatusOK, out)
	}
}

// none is the body of a request without one.
type none struct{}

func (s *Server) mint(r *http.Request, c service.Caller, in Mint) (Minted, error) {
	principal, err := token.ParsePrincipal(in.Principal)
	if err != nil {
		return Minted{}, &service.Error{Code: service.Invalid, Text: err.Error()}
	}
	req := service.MintRequest{
		Principal: principal, Subject: in.Subject, Entity: in.Entity, Audience: in.Audience,
		TTL:    time.Duration(in.Seconds) * time.Second,
		Scopes: in.Scopes,
	}
	switch {
	case in.BindCaller && (in.Thumbprint != "" || c.Certificate.IsZero()):
		return Minted{}, &service.Error{Code: service.Invalid,
			Text: "bind_caller: the connection has no certificate, or another is given"}
	case in.BindCaller:
		req.Bound = c.Certificate
	case in.Thumbprint != "":
		if req.Bound, err = token.ParseThumbprint(in.Thumbprint); err != nil {
			return Minted{}, &service.Error{Code: service.Invalid, Text: err.Error()}
		}
	}
	raw, claims, err := s.cfg.Service.Mint(r.Context(), c, req)
	if err != nil {
		return Minted{}, err
	}
	return Minted{raw, claims.ID, claims.Expires.UTC()}, nil
}

func (s *Server) tokens(r *http.Request, c service.Caller, _ none) ([]TokenInfo, error) {
	q := r.URL.Query()
	f := store.TokenFilter{Subject: q.Get("subject"), Thumbprint: q.Get("x5t"), After: q.Get("after")}
	if q.Get("all") == "" {
		f.ExpiresAfter = time.Now()
	}
	rows, err := s.cfg.Service.Tokens(r.Context(), c, f)
	all := make([]TokenInfo, 0, len(rows))
	for _, t := range rows {
		all = append(all, TokenInfo{
			ID: t.ID, Parent: t.Parent, Subject: t.Subject, Principal: t.Principal, Entity: t.Entity, Audience: t.Audience,
			Thumbprint: t.Thumbprint,
			KeyID:      t.KeyID, Minter: t.Minter, Issued: t.Issued.UTC(), Expires: t.Expires.UTC(),
		})
	}
	return all, err
}

func (s *Server) revokeBy(r *http.Request, c service.Caller, in Revoke) (none, error) {
	if in.Token != "" {
		return none{}, s.cfg.Service.RevokeToken(r.Context(), c, in.Token)
	}
	kind, err := revoke.ParseKind(in.Kind)
	if err != nil {
		return none{}, &service.Error{Code: service.Invalid, Text: err.Error()}
	}
	return none{}, s.cfg.Service.Revoke(r.Context(), c, kind, in.Value, in.Reason)
}

// revocations is the feed for those who ask instead of listening: a signed delta.
func (s *Server) revocations(w http.ResponseWriter, r *http.Request) {
	if _, err := s.caller(r); err != nil {
		s.unauthenticated(w, err)
		return
	}
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil || after < 0 {
		s.fail(w, &service.Error{Code: service.Invalid, Text: "after: want a sequence number"})
		return
	}
	raw, _, err := s.cfg.Service.Delta(r.Context(), after)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/"+revoke.Type)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, raw)
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func (s *Server) keys(r *http.Request, c service.Caller, _ none) ([]KeyInfo, error) {
	if err := s.cfg.Service.Administers(r.Context(), c, "keys.list"); err != nil {
		return nil, err
	}
	return keyInfos(s.cfg.Service.Keys()), nil
}

func keyInfos(ring []*keys.Key) (all []KeyInfo) {
	for _, k := range ring {
		all = append(all, KeyInfo{k.ID(), string(k.Slot), k.Published.UTC(), moment(k.Signs), moment(k.Until)})
	}
	return all
}

func (s *Server) rotate(r *http.Request, c service.Caller, in Rotate) ([]KeyInfo, error) {
	ring, err := s.cfg.Service.RotateKeys(r.Context(), c, keys.How{
		Grace: time.Duration(in.GraceSeconds) * time.Second, Immediate: in.Immediate,
	})
	if err != nil {
		return nil, err
	}
	return keyInfos(ring.Keys()), nil
}

func (s *Server) joinToken(r *http.Request, c service.Caller, in JoinToken) (Joining, error) {
	if in.OIDC {
		text, err := s.cfg.Service.JoinAddress(r.Context(), c, in.Node)
		return Joining{Token: text}, err
	}
	text, until, err := s.cfg.Service.JoinToken(r.Context(), c, in.Node, time.Duration(in.Seconds)*time.Second)
	return Joining{text, until.UTC().Truncate(time.Second)}, err
}

func (s *Server) nodes(r *http.Request, c service.Caller, _ none) ([]NodeInfo, error) {
	rows, err := s.cfg.Service.Nodes(r.Context(), c)
	all := make([]NodeInfo, 0, len(rows))
	for _, n := range rows {
		all = append(all, NodeInfo{
			Name: n.Name, State: n.State, Joined: moment(n.Joined), Renewed: moment(n.Renewed), Expires: moment(n.Expires),
			Serial:  n.Serial,
			Credits: n.Credits, Since: moment(n.CreditsAt), Alarm: n.Alarm,
		})
	}
	return all, err
}

func (s *Server) revokeNode(r *http.Request, c service.Caller, in RevokeNode) (none, error) {
	return none{}, s.cfg.Service.RevokeNode(r.Context(), c, in.Node, in.Reason)
}

func (s *Server) authorities(r *http.Request, c service.Caller, _ none) ([]AuthorityInfo, error) {
	if err := s.cfg.Service.Administers(r.Context(), c, "ca.list"); err != nil {
		return nil, err
	}
	var all []AuthorityInfo
	for _, k := range s.cfg.Service.Authorities() {
		all = append(all, AuthorityInfo{k.ID, k.Slot, k.Published.UTC(), moment(k.Signs), moment(k.Ends)})
	}
	return all, nil
}

func (s *Server) rotateCA(r *http.Request, c service.Caller, in RotateCA) ([]AuthorityInfo, error) {
	if err := s.cfg.Service.RotateCA(r.Context(), c, in.Immediate || in.Compromised, in.Compromised); err != nil {
		return nil, err
	}
	return s.authorities(r, c, none{})
}

func (s *Server) audit(r *http.Request, c service.Caller, _ none) ([]store.Entry, error) {
	q := r.URL.Query()
	after, err1 := strconv.ParseInt(q.Get("after"), 10, 64)
	limit, err2 := strconv.Atoi(q.Get("limit"))
	if err := errors.Join(err1, err2); err != nil {
		return nil, &service.Error{Code: service.Invalid, Text: "after and limit: want numbers"}
	}
	return s.cfg.Service.Audit(r.Context(), c, after, limit)
}

func (s *Server) verifyAudit(r *http.Request, c service.Caller, _ none) (AuditHead, error) {
	q := r.URL.Query()
	var anchor int64
	if text := q.Get("seq"); text != "" {
		var err error
		if anchor, err = strconv.ParseInt(text, 10, 64); err != nil {
			return AuditHead{}, &service.Error{Code: service.Invalid, Text: "seq: want a number"}
		}
	}
	seq, hash, err := s.cfg.Service.VerifyAudit(r.Context(), c, anchor, q.Get("hash"))
	if broken, ok := errors.AsType[*store.Broken](err); ok {
		return AuditHead{}, &service.Error{Code: service.Conflict, Text: broken.Error()}
	}
	return AuditHead{seq, hash}, err
}
