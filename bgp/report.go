package bgp

import "fmt"

// MaxReportText is the most bytes of a report's text.
const MaxReportText = 400

// ReportKind is what a node has against a service.
type ReportKind uint8

// The kinds. Their numbers are those of the wire.
const (
	ReportResolved  ReportKind = iota // nothing any more
	ReportRefused                     // its Envoy refuses what was made of the route
	ReportNoForward                   // nothing could be made of the route for its Envoy
)

var reportNames = [...]string{"resolved", "refused", "not compiled"}

// String names the kind.
func (k ReportKind) String() string {
	if int(k) < len(reportNames) {
		return reportNames[k]
	}
	return fmt.Sprintf("report(%d)", uint8(k))
}

// Report tells the originator of a service what a node on the way of its announcements has against it. It travels
// towards the originator, from node to node along their best paths. It is soft state (RFC 2205 §2.3): repeated while
// it holds, and forgotten by who hears it no more.
type Report struct {
	Service Service
	Node    NodeID // who reports; what its neighbour vouches for, not a proof
	Kind    ReportKind
	Text    string // for the operator at the originator, at most MaxReportText bytes; printable
	Hops    uint8  // nodes that have passed it on; at most MaxHops
}

func (*Report) message() {}
