package bgp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint is where something listens or is dialled, HOST:PORT: an IP address, or a DNS name that somebody has to
// look up.
type Endpoint struct {
	Host string // without brackets, also for IPv6
	Port uint16 // 1 to 65535; 0 for one that the system chooses, see ParseListen
}

// ParseEndpoint reads HOST:PORT. HOST is an IPv4 address, an IPv6 address in brackets ("[::1]:80"), or a DNS name:
// labels of 1 to 63 letters, digits, hyphens and underscores, together at most 253 characters. PORT is 1 to 65535, in
// decimal digits.
func ParseEndpoint(text string) (Endpoint, error) { return parseEndpoint(text, false) }

// ParseListen reads where a program is to listen: as ParseEndpoint, and HOST may be empty for every address of the
// machine (":80"), PORT 0 for one that the system chooses.
func ParseListen(text string) (Endpoint, error) { return parseEndpoint(text, true) }

func parseEndpoint(text string, listen bool) (Endpoint, error) {
	if len(text) > MaxEndpointLength {
		return Endpoint{}, fmt.Errorf("longer than %d characters", MaxEndpointLength)
	}
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return Endpoint{}, fmt.Errorf("%q: want HOST:PORT", text)
	}
	host, port := text[:at], text[at+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listen || port[0] == '+' {
		return Endpoint{}, fmt.Errorf("%q: want HOST:PORT with a port of 1 to 65535", text)
	}
	if host == "" && listen {
		return Endpoint{"", uint16(n)}, nil
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); err != nil || !closed || !a.Is6() {
			return Endpoint{}, fmt.Errorf("%q: want an IPv6 address between the brackets", text)
		}
		return Endpoint{inner, uint16(n)}, nil
	}
	if strings.Contains(host, ":") {
		return Endpoint{}, fmt.Errorf("%q: want HOST:PORT, with an IPv6 address in brackets: [ADDRESS]:PORT", text)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		return Endpoint{host, uint16(n)}, nil
	}
	if !isHostname(host) {
		return Endpoint{}, fmt.Errorf("%q: want HOST:PORT, where HOST is an IP address or a DNS name", text)
	}
	return Endpoint{host, uint16(n)}, nil
}

// isHostname tells whether a text is a DNS name that can be looked up. One whose last label is a number is an IPv4
// address that is misspelt (WHATWG URL §3.5).
func isHostname(host string) bool {
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	label := ""
	for label = range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 ||
			strings.Trim(label, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return strings.Trim(label, "0123456789") != ""
}

// IP returns the address that Host is; false if it is a name.
func (e Endpoint) IP() (netip.Addr, bool) {
	a, err := netip.ParseAddr(e.Host)
	return a, err == nil
}

// String returns HOST:PORT, with the brackets of an IPv6 address.
func (e Endpoint) String() string {
	if strings.Contains(e.Host, ":") {
		return "[" + e.Host + "]:" + strconv.Itoa(int(e.Port))
	}
	return e.Host + ":" + strconv.Itoa(int(e.Port))
}
