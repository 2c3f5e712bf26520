package federation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

// DiscoveryPath is where an organisation says how its bundle is read, on the web server of its own name: GET, anybody
// (SPIFFE Discovery §5.1, proposed in August 2026).
const DiscoveryPath = "/.well-known/wimse-trust-domain"

// Properties of the document there (SPIFFE Discovery §6.1). All are required, as strings.
const (
	domainProperty  = "spiffe_trust_domain_name"
	uriProperty     = "spiffe_bundle_endpoint_uri"
	profileProperty = "spiffe_bundle_endpoint_profile"
)

// discoverable marshals the document by which an organisation's bundle is found at an https URL over https_web.
// The other profile needs the SPIFFE ID of the server, for which the document has no place.
func discoverable(org bgp.Org, at string) ([]byte, error) {
	return json.Marshal(map[string]string{domainProperty: string(org), uriProperty: at, profileProperty: "https_web"})
}

// readDiscovery reads what an organisation's own web server says of its bundle endpoint. Properties that are not known
// are left alone; one that is missing, is no string or is another organisation's refuses the document (§5.3, §6).
func readDiscovery(org bgp.Org, doc []byte) (Source, error) {
	var all map[string]json.RawMessage // by their exact names: a struct's fields would be found by others as well
	if err := json.Unmarshal(doc, &all); err != nil || all == nil {
		return Source{}, errors.New("it is no JSON object")
	}
	var said [3]string
	for i, name := range []string{domainProperty, uriProperty, profileProperty} {
		raw, there := all[name]
		if !there {
			return Source{}, fmt.Errorf("%s is missing", name)
		}
		if !bytes.HasPrefix(raw, []byte(`"`)) || json.Unmarshal(raw, &said[i]) != nil {
			return Source{}, fmt.Errorf("%s is no string", name)
		}
	}
	if said[0] != string(org) {
		return Source{}, fmt.Errorf("%s is %q: want %s, whose web server was asked", domainProperty,
			bgp.Printable(clip(said[0], 300)), org)
	}
	out := Source{URL: said[1], Profile: said[2]}
	check := out
	if check.Profile == "https_spiffe" {
		check.Server = "spiffe://" + string(org) + "/to-be-given"
	}
	if err := CheckSource(org, check); err != nil || out.URL == "" {
		return Source{}, errors.Join(err, missingURL(out.URL))
	}
	return out, nil
}

func missingURL(at string) error {
	if at == "" {
		return fmt.Errorf("%s is empty", uriProperty)
	}
	return nil
}

// Proposal is what an organisation's own web server says of how to trust it. It is for an operator to judge: nothing
// follows from it by itself.
type Proposal struct {
	Org bgp.Org
	// Source is the endpoint that it names. Its Server is empty: for https_spiffe the operator has to know it.
	Source Source
	// Bundle is what is served there now; nil if it could not be read, for the reason Unread.
	Bundle *bundle.Bundle
	Unread error
}

// Discover asks the web server of an organisation's name how its bundle is read, and reads it there if the web proves
// that endpoint too. web are the roots by which both are judged; nil for the system's. at is HOST:PORT of the server
// where that name does not lead to it; "" to go by the name. Redirects are not followed.
func (a Asker) Discover(ctx context.Context, org bgp.Org, at string, web *x509.CertPool) (*Proposal, error) {
	from := url.URL{Scheme: "https", Host: string(org), Path: DiscoveryPath}
	doc, err := a.callAt(ctx, http.MethodGet, from.String(), webTLS(web), nil, at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from.String(), err)
	}
	src, err := readDiscovery(org, doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from.String(), err)
	}
	out := &Proposal{Org: org, Source: src}
	if src.Profile != "https_web" {
		out.Unread = errors.New("the document does not say which SPIFFE ID its server shows, nor by which roots: ask its " +
			"operator for its bundle and that ID")
		return out, nil
	}
	if u, err := url.Parse(src.URL); err != nil || u.Host != string(org) {
		at = "" // another server, which is found by its own name
	}
	out.Bundle, out.Unread = a.fetch(ctx, org, src.URL, webTLS(web), at)
	return out, nil
}

// Web serves the bundle of the endpoint's organisation to the web: at BundlePath, and at DiscoveryPath a document that
// names url, by which others reach the former; without one if url is empty. Whoever serves it shows a certificate of an
// authority of the web for its name (profile https_web).
func (e *Endpoint) Web(org bgp.Org, url string) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+BundlePath, e.bundle)
	if url == "" {
		return mux, nil
	}
	if err := CheckSource(org, Source{URL: url, Profile: "https_web"}); err != nil {
		return nil, err
	}
	doc, err := discoverable(org, url)
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET "+DiscoveryPath, func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, port, err := net.SplitHostPort(host); err == nil && port == "443" {
			host = h
		}
		if host != string(org) || r.URL.RawQuery != "" { // asked for another's, or not as §5.1 computes it
			http.NotFound(w, r)
			return
		}
		reply(w, r, doc)
	})
	return mux, nil
}

// reply answers with a document that changes now and then: whoever has it is told so by its ETag.
func reply(w http.ResponseWriter, r *http.Request, doc []byte) {
	digest := sha256.Sum256(doc)
	tag := fmt.Sprintf(`"%x"`, digest[:16])
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(doc)
}
