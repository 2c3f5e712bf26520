package routing

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// connectionFlags are those that say how Envoy connects to the workload. It returns the file of its CA.
func connectionFlags(f *pflag.FlagSet, in *client.ServiceInput) (ca *string) {
	f.StringVar(&in.IdleTimeout, "idle-timeout", "", "how long a connection to the workload is kept without a request, "+
		"1ms to 1h, less than the workload keeps it; default for the node's (envoy.workload-idle; not of tcp)")
	f.BoolVar(&in.Tls, "tls", false, "the workload speaks TLS; say how it is known: --tls-ca, --tls-id or --tls-insecure")
	f.StringVar(&in.TlsName, "tls-name", "", "DNS name or IP address that the workload is asked for and its certificate "+
		"is for (default the host of the first --addr)")
	f.StringVar(&in.TlsId, "tls-id", "", "SPIFFE id of the workload's certificate, judged by --tls-ca or else by the "+
		"roots of its organisation; it is shown this node's certificate; none for no id")
	f.BoolVar(&in.TlsInsecure, "tls-insecure", false, "believe whoever answers over TLS")
	return f.String("tls-ca", "", "PEM file of the CAs that may sign the workload's certificate; none for no CA")
}

// keepConnection leaves what no flag changes as it is. Another protocol says anew whether there is TLS, and without
// TLS there is nobody to be known.
func keepConnection(f *pflag.FlagSet, in *client.ServiceInput, was *client.ServiceFields) {
	console.Keep(f, "idle-timeout", &in.IdleTimeout, was.IdleTimeout)
	if overTLS := in.Protocol == "https" || in.Protocol == "grpcs"; f.Changed("protocol") && !f.Changed("tls") {
		in.Tls = overTLS
	} else if !overTLS {
		console.Keep(f, "tls", &in.Tls, was.Tls)
	}
	if !in.Tls {
		return
	}
	console.Keep(f, "tls-ca", &in.TlsCa, was.TlsCa)
	console.Keep(f, "tls-name", &in.TlsName, was.TlsName)
	console.Keep(f, "tls-id", &in.TlsId, was.TlsId)
	console.Keep(f, "tls-insecure", &in.TlsInsecure, was.TlsInsecure)
}

// takeConnection reads the file of the workload's CA, and takes the words default and none.
func takeConnection(f *pflag.FlagSet, in *client.ServiceInput, ca string) error {
	if in.IdleTimeout == "default" {
		in.IdleTimeout = ""
	}
	if in.TlsId == "none" {
		in.TlsId = ""
	}
	if !f.Changed("tls-ca") {
		return nil
	}
	if in.TlsCa = ""; ca == "none" {
		return nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("--tls-ca: %w", err)
	}
	in.TlsCa = string(b)
	return nil
}

// spoken is a service's protocol and whether its workload speaks TLS, and to whom.
func spoken(s *client.ServiceFields) string {
	switch {
	case !s.Tls:
		return s.Protocol
	case s.TlsInsecure:
		return s.Protocol + " over TLS (anybody's)"
	}
	return s.Protocol + " over TLS"
}
