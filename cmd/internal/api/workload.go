package api

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Bounds of the time that a connection to a workload is kept without a request.
const (
	minIdle = time.Millisecond
	maxIdle = time.Hour
)

// overTLS takes https and grpcs for what they are: what a service's callers speak, and TLS to its workload.
func overTLS(in *operator.ServiceInput) {
	switch strings.ToLower(in.Protocol) {
	case "https":
		in.Protocol, in.TLS = bgp.HTTP.String(), true
	case "grpcs":
		in.Protocol, in.TLS = bgp.GRPC.String(), true
	}
}

// connectionInput takes the fields of a service that say how Envoy connects to its workload.
func (a *API) connectionInput(s *journal.Service, in *operator.ServiceInput) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if in.IdleTimeout != "" {
		d, err := time.ParseDuration(in.IdleTimeout)
		switch {
		case err != nil || d < minIdle || d > maxIdle:
			bad("idleTimeout: %q: want %s to %s, such as 4s, and less than the workload keeps an idle connection",
				in.IdleTimeout, minIdle, maxIdle)
		case s.Protocol == bgp.TCP:
			bad("idleTimeout: a connection of a service of protocol tcp lasts as long as its caller's")
		}
		s.Idle = d
	}
	given := in.TLSCa != "" || in.TLSName != "" || in.TLSID != "" || in.TLSInsecure
	switch {
	case in.TLS:
		s.TLS = &journal.WorkloadTLS{CA: in.TLSCa, Name: in.TLSName, ID: in.TLSID, Insecure: in.TLSInsecure}
		errs = append(errs, offer.CheckTLS(s)...)
		errs = append(errs, a.knownRoots(s.TLS))
	case given:
		bad("tls: want it true (or protocol https or grpcs) where tlsCa, tlsName, tlsId or tlsInsecure is given")
	}
	return errs
}

// knownRoots wants the roots by which a workload's SPIFFE id is judged.
func (a *API) knownRoots(t *journal.WorkloadTLS) error {
	id, err := spiffeid.FromString(t.ID)
	if err != nil || t.CA != "" { // it is said elsewhere, or the roots are there
		return nil //nolint:nilerr // CheckTLS says it
	}
	if _, ok := a.cfg.Identity.Material().Roots[bgp.Org(id.TrustDomain().Name())]; !ok {
		return errors.New("tlsId: the roots of " + id.TrustDomain().Name() + " are not known here: give them as tlsCa, or " +
			"trust that organisation (catalyst peering accept)")
	}
	return nil
}
