package xds

import (
	"net/netip"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/catalyst-router/catalyst/bgp"
)

// workloadTLS is how Envoy speaks TLS with the workloads of a service beside this node. Workloads that are known by a
// SPIFFE id are shown this node's certificate; the others none.
func workloadTLS(f *Forwarding) *core.TransportSocket {
	common := &tls.CommonTlsContext{TlsParams: &tls.TlsParameters{
		TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tls.TlsParameters_TLSv1_3,
	}}
	switch f.Protocol {
	case bgp.HTTP2, bgp.GRPC:
		common.AlpnProtocols = []string{"h2"}
	case bgp.HTTP, bgp.GraphQL:
		common.AlpnProtocols = []string{"http/1.1"}
	case bgp.TCP: // whatever it speaks
	}
	out := &tls.UpstreamTlsContext{CommonTlsContext: common}
	if _, err := netip.ParseAddr(f.TLS.Name); err != nil {
		out.Sni = f.TLS.Name // an address is none (RFC 6066 §3)
	}
	if f.TLS.ID != "" {
		common.TlsCertificateSdsSecretConfigs = []*tls.SdsSecretConfig{sds(secretNode)}
	}
	believed := &tls.CertificateValidationContext{MatchTypedSubjectAltNames: []*tls.SubjectAltNameMatcher{namedAs(f.TLS)}}
	switch {
	case f.TLS.CA != "":
		believed.TrustedCa = inline([]byte(f.TLS.CA))
		common.ValidationContextType = &tls.CommonTlsContext_ValidationContext{ValidationContext: believed}
	case f.TLS.ID != "":
		combined := &tls.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext: believed, ValidationContextSdsSecretConfig: sds(trustOf(orgOf(f.TLS))),
		}
		common.ValidationContextType = &tls.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: combined}
	}
	return transportSocket(out)
}

// namedAs matches what a workload's certificate has to be for.
func namedAs(t *WorkloadTLS) *tls.SubjectAltNameMatcher {
	if t.ID != "" {
		return &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_URI, Matcher: exactly(t.ID)}
	}
	if _, err := netip.ParseAddr(t.Name); err == nil {
		return &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_IP_ADDRESS, Matcher: exactly(t.Name)}
	}
	return &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_DNS, Matcher: exactly(t.Name)}
}

// orgOf is the organisation by whose roots a workload is judged; "" for none.
func orgOf(t *WorkloadTLS) bgp.Org {
	if t == nil || t.ID == "" || t.CA != "" {
		return ""
	}
	org, _, _ := strings.Cut(strings.TrimPrefix(t.ID, "spiffe://"), "/")
	return bgp.Org(org)
}
