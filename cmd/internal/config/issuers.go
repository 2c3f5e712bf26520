package config

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// Issuer is another organisation whose tokens are believed.
type Issuer struct {
	Org     bgp.Org
	Address string // HOST:PORT of its identity service
	Name    string // iss of its tokens
}

// Others reads policy.issuers: ORGANISATION=HOST:PORT each, which ,ISS may follow.
func (p Policy) Others() ([]Issuer, error) {
	var all []Issuer
	for _, text := range p.Issuers {
		name, rest, _ := strings.Cut(text, "=")
		address, iss, _ := strings.Cut(rest, ",")
		org, err := bgp.ParseOrg(name)
		if err == nil {
			_, _, err = net.SplitHostPort(address)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: want ORGANISATION=HOST:PORT: %w", text, err)
		}
		all = append(all, Issuer{org, address, cmp.Or(iss, "https://auth."+name)})
	}
	return all, nil
}
