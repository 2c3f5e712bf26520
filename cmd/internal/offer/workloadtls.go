package offer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
)

// maxCA bounds the certificates of those who may sign a workload's.
const maxCA = 64 << 10

// TLSOf is how the workloads of a service are known; the zero value where they do not speak TLS.
func TLSOf(s *journal.Service) probe.TLS {
	if s.TLS == nil {
		return probe.TLS{}
	}
	t := probe.TLS(*s.TLS)
	if t.Name == "" {
		t.Name = hostOf(s.Address)
	}
	return t
}

func hostOf(address string) string {
	at, err := bgp.ParseEndpoint(address)
	if err != nil { // it was checked when it was ordered
		return ""
	}
	return at.Host
}

// CheckTLS reports every rule that the order of a service's TLS breaks; nil where it has none.
func CheckTLS(s *journal.Service) []error {
	t := s.TLS
	if t == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case t.Insecure && (t.CA != "" || t.ID != ""):
		bad("tlsInsecure: nobody is checked then: want it alone, or tlsCa or tlsId without it")
	case !t.Insecure && t.CA == "" && t.ID == "":
		bad("tls: want tlsCa (the CA of the workload's certificate) or tlsId (its SPIFFE id) to know it by, or tlsInsecure")
	}
	if len(t.CA) > maxCA {
		bad("tlsCa: %d bytes: want %d at the most", len(t.CA), maxCA)
	} else if t.CA != "" {
		if _, err := probe.ParseCA(t.CA); err != nil {
			bad("tlsCa: %w", err)
		}
	}
	if t.Name != "" {
		if at, err := bgp.ParseEndpoint(t.Name + ":1"); err != nil || at.Host != t.Name {
			bad("tlsName: %q: want a DNS name or an IP address", t.Name)
		}
	}
	if t.ID != "" {
		if _, err := spiffeid.FromString(t.ID); err != nil {
			bad("tlsId: %q: want a SPIFFE id: %w", t.ID, err)
		}
	}
	return append(errs, oneName(s))
}

// oneName wants a name where the addresses do not have the same host: the certificate is for one.
func oneName(s *journal.Service) error {
	if s.TLS.Name != "" || s.TLS.ID != "" || s.TLS.Insecure {
		return nil
	}
	for _, a := range s.Others {
		if !strings.EqualFold(hostOf(a), hostOf(s.Address)) {
			return errors.New("tlsName: the addresses have several hosts: say which name the workloads' certificates are for")
		}
	}
	return nil
}
