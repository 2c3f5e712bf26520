// Package site says what makes a machine with the package a site: its configuration files and units. It makes texts of
// values; its caller writes them.
package site

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/goccy/go-yaml"
)

// Where the package keeps what is the node's.
const (
	State        = "/var/lib/catalyst"
	Organisation = State + "/org"
	Identity     = State + "/identity"
	Data         = State + "/data"
	Token        = State + "/join" // with which the node joins at its first start
	Config       = "/etc/catalyst/node.yaml"
	AuthDefaults = "/etc/default/catalyst-auth"
	// Shipped is what the package puts at Config.
	Shipped = "/usr/share/catalyst/node.yaml"
	User    = "catalyst" // as whom the units run
)

// The ports of a site.
const (
	PortPeering = 7443
	PortIngress = 8443
	PortAuth    = 7480
	portDNS     = 5300
)

// Setup is what a machine has to be told.
type Setup struct {
	Address netip.Addr // at which other sites reach this machine
	DNS     bool       // answer the names of services at 127.0.0.1:5300
}

// File is a file as it has to be.
type File struct {
	Path, Content string
	Secret        bool // its owner's alone; the owner of all is User
}

// Node is the configuration of the node at a site.
func (s Setup) Node() (File, error) {
	c := yaml.MapSlice{
		{Key: "identity", Value: Identity}, {Key: "data", Value: Data},
		{Key: "peering", Value: yaml.MapSlice{{Key: "listen", Value: s.at(PortPeering)}, {Key: "accept",
			Value: "organisation"}}},
		{Key: "envoy", Value: yaml.MapSlice{{Key: "ingress", Value: s.at(PortIngress)}}},
	}
	if s.DNS {
		c = append(c, yaml.MapItem{Key: "dns", Value: fmt.Sprintf("127.0.0.1:%d", portDNS)})
	}
	text, err := yaml.Marshal(c)
	return File{Path: Config, Content: "# Written by catalyst site. Every setting: catalyst config reference\n" +
		string(text)}, err
}

// Auth is what the identity service is told, at the site that has it.
func (s Setup) Auth() File {
	return File{Path: AuthDefaults, Content: "# Written by catalyst site. Options of catalyst auth: see catalyst " +
		"auth --help.\n" +
		fmt.Sprintf("OPTIONS=\"--listen %s\"\n", s.at(PortAuth))}
}

// Peering is where other nodes dial the site.
func (s Setup) Peering() string { return s.at(PortPeering) }

func (s Setup) at(port uint16) string { return netip.AddrPortFrom(s.Address, port).String() }

// NodeName makes the name of a node of a host's name: its first label.
func NodeName(host string) string {
	name, _, _ := strings.Cut(strings.ToLower(host), ".")
	return name
}
