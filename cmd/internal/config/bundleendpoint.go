package config

import "net/url"

// BundleEndpoint is where this organisation's SPIFFE bundle is served to the web.
type BundleEndpoint struct {
	Listen  string `yaml:"listen" doc:"HOST:PORT where this organisation's SPIFFE bundle is served to anybody by a certificate of a web authority (profile https_web, GET /bundle); at peering.listen it is served by the node's own (https_spiffe) in any case; empty for none" default:""`
	TLSCert string `yaml:"tls-cert" doc:"PEM file of the certificate chain of bundle-endpoint.listen; read again when it changes" default:""`
	TLSKey  string `yaml:"tls-key" doc:"PEM file of its key" default:""`
	URL     string `yaml:"url" doc:"https URL by which others reach it, such as https://acme.example/bundle, which SPIFFE Discovery names to them: https://ORGANISATION/.well-known/wimse-trust-domain, on the same listener; empty for no such document" default:""`
}

func (b *BundleEndpoint) check(bad func(key, format string, args ...any)) {
	switch {
	case b.Listen != "" && (b.TLSCert == "" || b.TLSKey == ""):
		bad("bundle-endpoint.tls-cert", "and bundle-endpoint.tls-key must not be empty: https_web wants a certificate of a "+
			"web authority, for the name in bundle-endpoint.url")
	case b.Listen == "" && (b.TLSCert != "" || b.TLSKey != "" || b.URL != ""):
		bad("bundle-endpoint.listen", "must not be empty where bundle-endpoint.tls-cert or bundle-endpoint.url is given")
	}
	if b.URL == "" {
		return
	}
	if u, err := url.Parse(b.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		bad("bundle-endpoint.url", "%q: want https://HOST/PATH", b.URL)
	}
}
