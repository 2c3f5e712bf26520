package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
)

// The paths of OAuth.
const (
	pathKeys       = "/.well-known/jwks.json"
	pathMetadata   = "/.well-known/oauth-authorization-server"
	pathToken      = "/oauth/token"
	pathIntrospect = "/oauth/introspect"
	pathRevoke     = "/oauth/revoke"
)

// exchangesOf names in the metadata the organisations whose tokens are exchanged here.
const exchangesOf = "catalyst_exchanges_tokens_of"

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT       = "urn:ietf:params:oauth:token-type:jwt"
)

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathKeys, s.keySet)
	mux.HandleFunc("GET "+pathMetadata, s.metadata)
	mux.HandleFunc("POST "+pathToken, s.exchange)
	mux.HandleFunc("POST "+pathIntrospect, s.introspect)
	mux.HandleFunc("POST "+pathRevoke, s.revoke)
	s.admin(mux)
	return mux
}

// keySet is the JWKS: token keys alone, so that every reader of JWKS takes it.
func (s *Server) keySet(w http.ResponseWriter, _ *http.Request) {
	b, err := s.cfg.Service.JWKS()
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(keys.MaxAge/time.Second)))
	_, _ = w.Write(b)
}

// metadata is RFC 8414's document.
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	base := "https://" + s.cfg.Service.Address()
	w.Header().Set("Cache-Control", "public, max-age=300")
	reply(w, http.StatusOK, map[string]any{
		"issuer": s.cfg.Service.Issuer(), "jwks_uri": base + pathKeys, "token_endpoint": base + pathToken,
		"introspection_endpoint": base + pathIntrospect, "revocation_endpoint": base + pathRevoke,
		"grant_types_supported": []string{grantExchange}, "response_types_supported": []string{},
		"token_endpoint_auth_methods_supported":         []string{"tls_client_auth"},
		"introspection_endpoint_auth_methods_supported": []string{"tls_client_auth"},
		"revocation_endpoint_auth_methods_supported":    []string{"tls_client_auth"},
		"tls_client_certificate_bound_access_tokens":    true,
		exchangesOf: s.cfg.Service.Exchanges(),
		"token_endpoint_auth_signing_alg_values_supported":      []string{token.ES384},
		"introspection_signing_alg_values_supported":            []string{},
		"revocation_endpoint_auth_signing_alg_values_supported": []string{token.ES384},
	})
}

// form reads an OAuth request: who asks, and its parameters, each once at most (RFC 6749 §3.2).
func (s *Server) form(w http.ResponseWriter, r *http.Request) (c service.Caller, ok bool) {
	w.Header().Set("Cache-Control", "no-store")
	c, err := s.caller(r)
	if err != nil {
		s.unauthenticated(w, err)
		return c, false
	}
	return c, parameters(w, r)
}

// parameters reads those of an OAuth request; false if they are bad, which the caller has been told then.
func parameters(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.ParseForm() != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "the body must be a form of at most 64 KiB")
		return false
	}
	if len(r.URL.RawQuery) > 0 {
		oauthError(w, http.StatusBadRequest, "invalid_request", "parameters belong in the body")
		return false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "audience" {
			oauthError(w, http.StatusBadRequest, "invalid_request", "a parameter is given twice")
			return false
		}
	}
	return true
}

// exchange is RFC 8693. Of another organisation's token its holder needs nothing else to be known by (§2.1).
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !parameters(w, r) {
		return
	}
	f := r.PostForm
	foreign := s.cfg.Service.IsForeign(f.Get("subject_token"))
	var c service.Caller
	if !foreign {
		var err error
		if c, err = s.caller(r); err != nil {
			s.unauthenticated(w, err)
			return
		}
	}
	if f.Get("grant_type") != grantExchange {
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "want "+grantExchange)
		return
	}
	if t := f.Get("subject_token_type"); t != typeAccess && t != typeJWT || f.Get("subject_token") == "" {
		oauthError(w, http.StatusBadRequest, "invalid_request", "want subject_token, and as its type "+typeAccess)
		return
	}
	if f.Has("actor_token") || f.Has("resource") {
		oauthError(w, http.StatusBadRequest, "invalid_request",
			"the actor is the caller, and audience says whom the token is for")
		return
	}
	if t := f.Get("requested_token_type"); t != "" && t != typeAccess && t != typeJWT {
		oauthError(w, http.StatusBadRequest, "invalid_request", "only access tokens can be had")
		return
	}
	in := service.ExchangeRequest{
		Subject: f.Get("subject_token"), Audience: f["audience"], Scopes: strings.Fields(f.Get("scope")),
	}
	var raw string
	var claims *token.Claims
	var err error
	if foreign {
		raw, claims, err = s.cfg.Service.ExchangeForeign(r.Context(), shownBy(r), in)
	} else {
		raw, claims, err = s.cfg.Service.Exchange(r.Context(), c, in)
	}
	if e, ok := errors.AsType[*service.Error](err); ok && e.Code != service.Unavailable {
		oauthError(w, http.StatusBadRequest, "invalid_request", e.Text)
		return
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"access_token": raw, "issued_token_type": typeAccess, "token_type": "Bearer",
		"expires_in": int64(time.Until(claims.Expires) / time.Second), "scope": strings.Join(claims.Scopes, " "),
	})
}

// introspect is RFC 7662. Of a token that is not active nothing is told but that.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.form(w, r); !ok {
		return
	}
	c, err := s.cfg.Service.Verifier().Inspect(r.Context(), r.PostForm.Get("token"))
	if token.ReasonOf(err) == token.WrongAudience { // the caller is whom it is meant for, or asks for him
		c, err = s.cfg.Service.Issued().Inspect(r.Context(), r.PostForm.Get("token"))
	}
	if errors.Is(err, token.ErrUnavailable) || token.ReasonOf(err) == token.Stale {
		s.fail(w, &service.Error{Code: service.Unavailable, Text: "tokens cannot be verified at the moment"})
		return
	}
	if err != nil {
		reply(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	reply(w, http.StatusOK, introspection(c))
}

func introspection(c *token.Claims) map[string]any {
	m := map[string]any{
		"active": true, "iss": c.Issuer, "sub": c.Subject, "aud": c.Audience, "iat": c.IssuedAt.Unix(),
		"exp": c.Expires.Unix(), "token_type": "Bearer",
		"principal": c.Principal.Qualified(), "entity": c.Entity,
	}
	if c.ID != "" {
		m["jti"] = c.ID
	}
	if len(c.Scopes) > 0 {
		m["scope"] = strings.Join(c.Scopes, " ")
	}
	if c.ClientID != "" {
		m["client_id"] = c.ClientID
	}
	if !c.Bound.IsZero() {
		m["cnf"] = map[string]string{"x5t#S256": c.Bound.String()}
	}
	return m
}

// revoke is RFC 7009: a token that is not known is none to revoke, which is no error.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	c, ok := s.form(w, r)
	if !ok {
		return
	}
	raw := r.PostForm.Get("token")
	if raw == "" {
		oauthError(w, http.StatusBadRequest, "invalid_request", "want a token")
		return
	}
	if hint := r.PostForm.Get("token_type_hint"); hint == "refresh_token" {
		oauthError(w, http.StatusBadRequest, "unsupported_token_type", "there are access tokens only")
		return
	}
	if err := s.cfg.Service.RevokeToken(r.Context(), c, raw); err != nil {
		s.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func oauthError(w http.ResponseWriter, code int, kind, text string) {
	reply(w, code, map[string]string{"error": kind, "error_description": text})
}

// unauthenticated is the answer of RFC 6750 §3. The reason goes to the log alone.
func (s *Server) unauthenticated(w http.ResponseWriter, err error) {
	s.cfg.Log.Info("a caller was refused", "reason", err)
	challenge := "Bearer"
	if token.ReasonOf(err) != "" {
		challenge += ` error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	oauthError(w, http.StatusUnauthorized, "invalid_client", "show a certificate of the organisation, or a bearer token")
}

// fail answers with an error of the service.
func (s *Server) fail(w http.ResponseWriter, err error) {
	code, text := http.StatusInternalServerError, "the identity service failed"
	if e, ok := errors.AsType[*service.Error](err); ok {
		text = e.Text
		switch e.Code {
		case service.Invalid:
			code = http.StatusBadRequest
		case service.Forbidden:
			code = http.StatusForbidden
		case service.NotFound:
			code = http.StatusNotFound
		case service.Conflict:
			code = http.StatusConflict
		case service.Unavailable:
			code = http.StatusServiceUnavailable
		}
	}
	if code >= http.StatusInternalServerError {
		s.cfg.Log.Error("a request failed", "error", err)
	}
	reply(w, code, map[string]string{"error": text})
}

func reply(w http.ResponseWriter, code int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "the answer could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}
