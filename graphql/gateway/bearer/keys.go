package bearer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/catalyst-router/catalyst/auth/secret"
)

// Bounds of a key set.
const (
	mostKeys      = 100
	largestKeys   = 1 << 20 // bytes
	fetchTime     = 5 * time.Second
	coordinateLen = 48 // bytes of a coordinate of P-384
)

// source gets the bytes of a key set.
type source interface {
	get(ctx context.Context) ([]byte, error)
}

func newSource(where secret.URL) (source, error) {
	u, err := where.Parse()
	switch {
	case err == nil && u.Scheme == "https" && u.Host != "", err == nil && u.Scheme == "http" && loopback(u.Hostname()):
		// A redirect could lead to anybody's keys.
		return remote{where, &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}, nil
	case err == nil && u.Scheme == "http":
		return nil, fmt.Errorf("%s: keys beyond loopback are fetched by https only", where)
	}
	return local(where.Reveal()), nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

type local string

func (l local) get(context.Context) ([]byte, error) {
	f, err := os.Open(string(l))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return bounded(f)
}

type remote struct {
	url    secret.URL
	client *http.Client
}

func (r remote) get(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url.Reveal(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with HTTP status %d", r.url, resp.StatusCode)
	}
	return bounded(resp.Body)
}

func bounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, largestKeys+1))
	if err == nil && len(b) > largestKeys {
		err = fmt.Errorf("a key set is larger than %d bytes", largestKeys)
	}
	return b, err
}

// parseKeys reads a key set. Keys that cannot sign ES384 are left out; none that can is an error.
func parseKeys(raw []byte) (map[string]*ecdsa.PublicKey, error) {
	var set struct {
		Keys []struct {
			Kty, Crv, Kid, Use, Alg string
			X, Y                    string
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	if len(set.Keys) > mostKeys {
		return nil, fmt.Errorf("the key set has %d keys, and %d are allowed", len(set.Keys), mostKeys)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for i, k := range set.Keys {
		if k.Kty != "EC" || k.Crv != "P-384" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != "ES384" ||
			k.Kid == "" {
			continue
		}
		if _, twice := keys[k.Kid]; twice {
			return nil, fmt.Errorf("keys[%d]: the kid is given twice", i)
		}
		key, err := point(k.X, k.Y)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		keys[k.Kid] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key for ES384 with a kid")
	}
	return keys, nil
}

func point(x, y string) (*ecdsa.PublicKey, error) {
	b := make([]byte, 1, 1+2*coordinateLen)
	b[0] = 4 // uncompressed
	for _, c := range []string{x, y} {
		d, err := base64.RawURLEncoding.DecodeString(c)
		if err != nil || len(d) != coordinateLen {
			return nil, fmt.Errorf("a coordinate must be %d bytes in base64url", coordinateLen)
		}
		b = append(b, d...)
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P384(), b)
}
