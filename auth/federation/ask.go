package federation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

const askTime = 10 * time.Second

// Shown is the chain that a request's connection showed; nil if it showed none.
func Shown(r *http.Request) []*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}

// Asker asks other organisations' endpoints.
type Asker struct {
	Mine func() (*tls.Certificate, error) // what this node shows of itself; nil for nothing
	// Refused returns why the certificate of whoever answers is not believed though it is valid; nil for none.
	Refused func(leaf *x509.Certificate) error
}

// Redeem redeems an invitation at the node that made it. A *Misuse is the other side's refusal.
func (a Asker) Redeem(ctx context.Context, inv *Invitation, in Redemption) (*Answer, error) {
	in.Secret = inv.secret
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "https", Host: inv.Address, Path: RedeemPath}
	b, err := a.call(ctx, http.MethodPost, at.String(), a.spiffe(inv.Bundle, inv.Node.URI()), body)
	if err != nil {
		return nil, fmt.Errorf("redeem the invitation at %s: %w", inv.Address, err)
	}
	out := new(Answer)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, fmt.Errorf("redeem the invitation at %s: its answer is no JSON of one", inv.Address)
	}
	if err := out.Terms.Check(); err != nil {
		return nil, fmt.Errorf("redeem the invitation at %s: its terms: %w", inv.Address, err)
	}
	return out, nil
}

// Fetch reads the bundle of an organisation from an endpoint: over https_web by the roots of the web (web; nil for
// the system's), over https_spiffe by the bundle that is held (SPIFFE Federation §5.2). Redirects are not followed:
// they would leave the choice of the endpoint to whoever answers there.
func (a Asker) Fetch(ctx context.Context, org bgp.Org, src Source, held *bundle.Bundle,
	web *x509.CertPool) (*bundle.Bundle, error) {
	var secure *tls.Config
	switch src.Profile {
	case "https_web":
		secure = webTLS(web)
	case "https_spiffe":
		if held == nil || len(held.Roots) == 0 {
			return nil, fmt.Errorf("no bundle of %s is held by which %s could prove itself: give one by hand", org, src.URL)
		}
		by := *held
		if id, err := url.Parse(src.Server); err == nil && id.Host != "" && id.Host != string(org) {
			return nil, fmt.Errorf("%s is of %s, and no bundle of it is held: want one of %s", src.Server, id.Host, org)
		}
		secure = Asker{}.spiffe(&by, src.Server)
	default:
		return nil, fmt.Errorf("profile %q: want https_web or https_spiffe", src.Profile)
	}
	return a.fetch(ctx, org, src.URL, secure, "")
}

// fetch reads a bundle at an address; dial is as for callAt.
func (a Asker) fetch(ctx context.Context, org bgp.Org, at string, secure *tls.Config, dial string) (
	*bundle.Bundle, error,
) {
	b, err := a.callAt(ctx, http.MethodGet, at, secure, nil, dial)
	if err != nil {
		return nil, err
	}
	return bundle.Parse(org, b)
}

// webTLS dials whoever proves by the roots of the web to have the name that is dialled.
func webTLS(web *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: web}
}

// CheckSource tells what is wrong with an endpoint.
func CheckSource(org bgp.Org, s Source) error {
	if s.URL == "" {
		if s.Profile != "" || s.Server != "" {
			return errors.New("bundleEndpoint: want a url")
		}
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("bundleEndpoint: url: %q: want https://HOST/PATH without user", bgp.Printable(s.URL))
	}
	if s.Profile != "https_web" && s.Profile != "https_spiffe" {
		return fmt.Errorf("bundleEndpoint: profile: %q: want https_web or https_spiffe", bgp.Printable(s.Profile))
	}
	id, err := url.Parse(s.Server)
	if s.Profile == "https_spiffe" && (err != nil || id.Scheme != "spiffe" || id.Host != string(org)) {
		return fmt.Errorf("bundleEndpoint: server: %q: want a SPIFFE ID of %s, as spiffe://%s/bundle-server",
			bgp.Printable(s.Server), org, org)
	}
	return nil
}

// spiffe dials whoever proves by a bundle to be id.
func (a Asker) spiffe(by *bundle.Bundle, id string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12, // SPIFFE Federation §5.2.2 asks for 1.2
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, //nolint:gosec // VerifyConnection does it, by SPIFFE's rules instead of host names
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if a.Mine == nil {
				return &tls.Certificate{}, nil
			}
			return a.Mine()
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			shown, err := identity.Judge(s.PeerCertificates[0])
			if err == nil && shown != id {
				err = fmt.Errorf("whoever answers there is %s, want %s", bgp.Printable(shown), id)
			}
			if err == nil {
				err = Chain(s.PeerCertificates, by)
			}
			if err == nil && a.Refused != nil {
				err = a.Refused(s.PeerCertificates[0])
			}
			if err != nil {
				return &NotProved{err, s.PeerCertificates}
			}
			return nil
		},
	}
}

// call asks once and reads an answer of at most a bundle's size.
func (a Asker) call(ctx context.Context, method, at string, secure *tls.Config, body []byte) ([]byte, error) {
	return a.callAt(ctx, method, at, secure, body, "")
}

// callAt is call, of a server at dial (HOST:PORT) whatever the host of the URL is; "" goes by the URL.
func (a Asker) callAt(ctx context.Context, method, at string, secure *tls.Config, body []byte, dial string) (
	[]byte, error,
) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	tr := &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10}
	if dial != "" {
		tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, dial)
		}
	}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("it answers with a redirect, which is not followed: configure the address that it names if " +
			"you trust it")
	}}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // it names the method and the URL, which the caller does
		}
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxBody {
		return nil, fmt.Errorf("its answer is longer than %d bytes", maxBody)
	}
	if resp.StatusCode != http.StatusOK {
		var p problem
		if resp.StatusCode == http.StatusForbidden && json.Unmarshal(b, &p) == nil && p.Kind != "" {
			return nil, &Misuse{bgp.Printable(clip(p.Kind, 32)), bgp.Printable(clip(p.Text, 500)), p.Handshake}
		}
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	return b, nil
}

func clip(s string, most int) string { return s[:min(len(s), most)] }
