package extauthz

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/metadata"

	"github.com/catalyst-router/catalyst/policy"
)

// question is a CheckRequest as it was understood.
type question struct {
	call     policy.Call
	identity identity
	token    string
	keep     bool
	transit  bool // the route leads to another node, not to a workload
	lasts    bool // it may last however short its answer is
}

// identity is who showed a certificate: the SPIFFE id in it, and the SHA-256 of its DER.
type identity struct {
	uri        string
	thumbprint []byte
}

// read understands a CheckRequest. What is ambiguous is an error, and denied: two headers of one name where policy
// and route may take another each, a path that whoever is behind may read otherwise.
func (s *Server) read(ctx context.Context, req *auth.CheckRequest) (q question, err error) {
	attributes := req.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	if http == nil {
		return q, errors.New("it is no HTTP request")
	}
	extensions := attributes.GetContextExtensions()
	q.keep = extensions[AuthorizationKey] == "keep"
	q.transit = s.cfg.ServiceHeader != "" && extensions[ServiceKey] == ""
	if q.identity, err = s.caller(ctx, attributes.GetSource().GetCertificate()); err != nil {
		return q, err
	}
	q.call.Peer, q.call.Certificate = q.identity.uri, hex.EncodeToString(q.identity.thumbprint)
	headers, err := s.headersOf(http)
	if err != nil {
		return q, err
	}
	if q.call.Service, q.call.Organisation, err = s.service(extensions, headers); err != nil {
		return q, err
	}
	if q.token, err = bearer(headers); err != nil {
		return q, err
	}
	q.call.Method, q.call.SNI = http.GetMethod(), attributes.GetTlsSession().GetSni()
	if strings.ToUpper(q.call.Method) != q.call.Method {
		return q, fmt.Errorf("method %.50q: want it in capitals, as not everybody tells it from those", q.call.Method)
	}
	q.call.Connect = http.GetMethod() == "CONNECT"
	q.lasts = lasts(http.GetMethod(), headers)
	if q.call.Host, q.call.Port, err = authority(http.GetHost(), extensions[PortKey]); err != nil {
		return q, err
	}
	if !q.call.Connect {
		if q.call.Path, err = plainPath(http.GetPath()); err != nil {
			return q, err
		}
		q.call.Headers = s.named(headers)
	}
	return q, nil
}

// caller is who Envoy says that it is. Metadata are its configuration's, and nobody else can set them.
func (s *Server) caller(ctx context.Context, cert string) (identity, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	how := md.Get(callerKey)
	switch {
	case len(how) > 1:
		return identity{}, errors.New("Envoy says twice how it knows who calls") //nolint:staticcheck // a name
	case len(how) == 1 && strings.HasPrefix(how[0], "spiffe://"):
		return identity{uri: how[0]}, nil
	case cert != "":
		return s.identify(cert)
	case len(how) == 1 && how[0] == "certificate":
		return identity{}, errors.New("the caller has no certificate")
	}
	return identity{}, nil
}

// identify reads a certificate as Envoy sends it: PEM, URL-encoded. Envoy has verified it; here its name is taken, by
// the rules of the X.509-SVID (SPIFFE, §2 and §5.2).
func (s *Server) identify(encoded string) (identity, error) {
	if id, ok := s.certificates.Get(encoded); ok {
		return id, nil
	}
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return identity{}, errors.New("the caller's certificate is not URL-encoded")
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return identity{}, errors.New("the caller's certificate is no PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return identity{}, errors.New("the caller's certificate cannot be read")
	}
	switch {
	case len(leaf.URIs) != 1:
		return identity{}, fmt.Errorf("the caller's certificate has %d URIs: want one", len(leaf.URIs))
	case leaf.IsCA:
		return identity{}, errors.New("the caller's certificate is one of an authority")
	}
	u := leaf.URIs[0]
	switch name, err := spiffeid.FromURI(u); {
	case err != nil:
		return identity{}, fmt.Errorf("the caller's certificate has no SPIFFE id: %w", err)
	case name.Path() == "":
		return identity{}, errors.New("the caller's certificate names a trust domain and nobody in it")
	}
	sum := sha256.Sum256(leaf.Raw)
	id := identity{nodeOf(u), sum[:]}
	s.certificates.Add(encoded, id)
	return id, nil
}

// nodeOf is the node that a certificate speaks for: an Envoy elsewhere (spiffe://ORG/envoy/NODE/NAME) is its node's
// data plane.
func nodeOf(u *url.URL) string {
	if rest, ok := strings.CutPrefix(u.Path, "/envoy/"); ok {
		if name, _, two := strings.Cut(rest, "/"); two {
			return "spiffe://" + u.Host + "/node/" + name
		}
	}
	return u.String()
}

// readHeaders are the names, in lower case, of the headers that this package itself looks at.
func readHeaders() []string {
	return []string{
		":authority", "host", "authorization", "upgrade", "transfer-encoding", "content-type", "content-length",
	}
}

// headersOf returns all values of each header that anybody looks at, by its name in lower case, whichever way Envoy was
// told to send them.
func (s *Server) headersOf(http *auth.AttributeContext_HttpRequest) (map[string][]string, error) {
	all := make(map[string][]string, len(s.reads))
	for _, h := range http.GetHeaderMap().GetHeaders() {
		if name := h.GetKey(); s.reads[name] {
			all[name] = append(all[name], valueOf(h))
		}
	}
	for name, value := range http.GetHeaders() {
		if s.reads[name] && all[name] == nil {
			all[name] = []string{value}
		}
	}
	for _, name := range []string{":authority", "host", s.cfg.ServiceHeader, "authorization"} {
		if len(all[name]) > 1 {
			return nil, fmt.Errorf("there are %d headers %s", len(all[name]), name)
		}
	}
	return all, nil
}

// lasts tells whether a request may go on long before its answer begins, or without end in both directions: tunnels,
// gRPC streams, bodies of unknown length. For all others it is enough to look at the answer (see package extproc).
func lasts(method string, headers map[string][]string) bool {
	has := func(name string) bool { return len(headers[name]) > 0 }
	switch {
	case method == "CONNECT", has("upgrade"), has("transfer-encoding"):
		return true
	case has("content-type") && strings.HasPrefix(headers["content-type"][0], "application/grpc"):
		return true
	}
	return (method == "POST" || method == "PUT" || method == "PATCH") && !has("content-length")
}

func valueOf(h *core.HeaderValue) string {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return h.GetValue()
}

// service is what the route leads to.
func (s *Server) service(extensions map[string]string,
	headers map[string][]string) (service, organisation string, err error) {
	service = extensions[ServiceKey]
	if s.cfg.ServiceHeader != "" {
		chosen := headers[s.cfg.ServiceHeader]
		switch {
		case len(chosen) == 0 && service == "":
			return "", "", errors.New("Envoy does not say which service the request is for") //nolint:staticcheck // a name
		case len(chosen) == 1 && service != "" && chosen[0] != service:
			return "", "", fmt.Errorf("the route leads to %q, and was chosen for %q", service, chosen[0])
		case len(chosen) == 1:
			service = calledBy(chosen[0], headers)
		}
	}
	if service == "" {
		return "", "", fmt.Errorf("the route does not say which service it leads to: give it %s in context_extensions",
			ServiceKey)
	}
	if organisation = extensions[OrganisationKey]; organisation == "" {
		_, organisation, _ = strings.Cut(service, ".")
	}
	return service, organisation, nil
}

// calledBy is the service that is called by a route: the route's own name, or, where it is a pattern such as
// *.eu.acme.example, the name below it that the request is for.
func calledBy(route string, headers map[string][]string) string {
	below, pattern := strings.CutPrefix(route, "*")
	for _, name := range []string{":authority", "host"} {
		if names := headers[name]; pattern && len(names) == 1 {
			if host := strings.ToLower(names[0]); strings.HasSuffix(host, below) {
				return host
			}
		}
	}
	return route
}

// bearer returns the token of a request, "" if it has none (RFC 6750 §2.1). Other schemes are none of our business.
func bearer(headers map[string][]string) (string, error) {
	values := headers["authorization"]
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) == 1 && !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	if len(values) > 1 || token == "" || strings.ContainsAny(token, ", \t") {
		return "", errors.New("the authorization header has not exactly one token")
	}
	return token, nil
}

// authority takes a host and port apart. Envoy may have stripped the port; then the route has it.
func authority(host, port string) (string, int, error) {
	if host == "" || strings.ContainsAny(host, ", \t@/\\") {
		return "", 0, fmt.Errorf("authority %.100q: want one name", host)
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host, port = host[:i], host[i+1:]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if port == "" {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %.100q: want 0 to 65535", port)
	}
	return host, int(n), nil
}

// plainPath is a path without its query, as policies see it: decoded once. One that somebody may read in another way
// is an error, as `%2f` is a slash to some, and `;` ends a segment for others.
func plainPath(target string) (string, error) {
	path, _, _ := strings.Cut(target, "?")
	path, _, _ = strings.Cut(path, "#")
	if path == "*" {
		return path, nil
	}
	if !strings.HasPrefix(path, "/") {
		return "", errors.New("the path does not begin with a slash")
	}
	lower := strings.ToLower(path)
	for _, odd := range []string{"%2f", "%5c", "%00", "%25", "\\", "//", ";"} {
		if strings.Contains(lower, odd) {
			return "", fmt.Errorf("the path has %q in it, which not everybody reads alike", odd)
		}
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return "", errors.New("the path is not encoded as it has to be")
	}
	for segment := range strings.SplitSeq(plain, "/") {
		if segment == "." || segment == ".." {
			return "", errors.New("the path has dot segments in it")
		}
	}
	if strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("the path has control characters in it")
	}
	return plain, nil
}

// named picks the headers that policies may look at; several of one name are joined by commas (RFC 9110 §5.3).
func (s *Server) named(headers map[string][]string) map[string]string {
	var out map[string]string
	for name := range s.headers {
		if values := headers[name]; len(values) > 0 {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = strings.Join(values, ",")
		}
	}
	return out
}
