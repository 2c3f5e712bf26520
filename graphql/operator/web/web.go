// Package web serves the looking glass: a page for a browser that shows one node, live. It is a client of the operator
// API like the command line, and has no other way into the node: the server hands out files and passes /graphql on.
//
// Whoever has the node's token may do what the command line on the node's machine may do; whoever has not sees the
// page's own files and nothing of the node. A request is answered only under a name that the node listens by, so that
// a page of somebody else whose name is made to point here (DNS rebinding) reaches nothing.
package web

import (
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/bgp/datafile"
)

//go:embed assets
var assets embed.FS //nolint:gochecknoglobals // the compiler fills it

// Config is what the page is served with.
type Config struct {
	API   http.Handler // the operator API, asked at /graphql
	Mesh  http.Handler // every node of the organisation, asked at /mesh (package mesh); nil if this node asks no others
	Token secret.Text  // wanted of every request to the API, as a bearer token
	Hosts []string     // names under which the page is reached, without a port; others are refused
}

// policy is the page's Content-Security-Policy: its own files, and nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at /, the operator API at /graphql, and what it tells of the organisation's nodes at /mesh.
func Handler(cfg Config) (http.Handler, error) {
	if cfg.Token.Reveal() == "" {
		return nil, errors.New("web: a token is wanted")
	}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.Handle("POST /graphql", withToken(cfg.Token, cfg.API))
	others := cfg.Mesh
	if others == nil {
		others = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "this node asks no others: set gateway.operator at each node", http.StatusNotFound)
		})
	}
	mux.Handle("POST /mesh", withToken(cfg.Token, others))
	return knownHost(cfg.Hosts, mux), nil
}

// knownHost refuses requests under other names, and sets what browsers are to know of the page.
func knownHost(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		if !slices.Contains(hosts, host) {
			http.Error(w, fmt.Sprintf("This node's page is not reached as %q: add the name to web-hosts.", host),
				http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// withToken lets in who has the token. A browser sends no header of this name by itself, so that a form or an image of
// another page does nothing here.
func withToken(token secret.Text, next http.Handler) http.Handler {
	want := []byte("Bearer " + token.Reveal())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "The node's token is wanted: catalyst web prints a link that has it.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Files in the node's data directory; only its owner reads them.
const (
	tokenFile = "web-token" // the token, a line
	linkFile  = "web-link"  // an address of the page with the token, as the node served it last
	mostBytes = 4096        // of each
)

// KeptToken returns the token in the data directory and makes one where there is none: 256 random bits. To change it,
// remove the file web-token and start the node again.
func KeptToken(data string) (secret.Text, error) {
	path := filepath.Join(data, tokenFile)
	switch b, err := datafile.Read(path, mostBytes); {
	case err == nil && len(strings.TrimSpace(string(b))) >= 32:
		return secret.NewText(strings.TrimSpace(string(b))), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return secret.Text{}, fmt.Errorf("web: read the token: %w", err)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	token := base64.RawURLEncoding.EncodeToString(random)
	return secret.NewText(token), keep(path, token)
}

// KeepLink writes where the page is reached into the data directory, for Link. Base is its URL, such as
// http://127.0.0.1:9480. The token is in the fragment, which a browser sends to nobody.
func KeepLink(data, base string, token secret.Text) error {
	return keep(filepath.Join(data, linkFile), base+"/#token="+token.Reveal())
}

// Link returns the address that a running node keeps in its data directory.
func Link(data string) (secret.Text, error) {
	b, err := datafile.Read(filepath.Join(data, linkFile), mostBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Text{}, fmt.Errorf("no node with a page keeps its files in %s: start it with --web HOST:PORT, or "+
			"name its data directory with --data", data)
	}
	return secret.NewText(strings.TrimSpace(string(b))), err
}

func keep(path, line string) error {
	if err := datafile.Replace(path, []byte(line+"\n")); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}
