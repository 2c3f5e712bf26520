package speaker

import (
	"bytes"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Degree is how much a departure from the specification cost (RFC 7606 §2).
type Degree uint8

// The degrees, the mildest first.
const (
	AttributeDropped Degree = iota
	TreatedAsWithdrawn
	SessionReset
)

var degreeTexts = [...]string{"attribute dropped", "treated as withdrawn", "session reset"}

// String says the degree in words.
func (d Degree) String() string {
	if int(d) < len(degreeTexts) {
		return degreeTexts[d]
	}
	return fmt.Sprintf("degree(%d)", uint8(d))
}

// maxFaults is how many faults of a peer are kept with their bytes; all are counted.
const maxFaults = 16

// Fault is one departure from the specification.
type Fault struct {
	At        time.Time
	Degree    Degree
	Service   bgp.Service // the first route that it concerned; "" if none can be named
	Attribute string      // "" for a message
	Reason    string
	Routes    int    // that it concerned
	Bytes     []byte // the offending bytes, at most bgp.MaxFaultBytes
}

// FaultKind is what faults are counted by.
type FaultKind struct {
	Degree    Degree
	Attribute string
}

// malformed enters what the decoder had to mend.
func (p *peer) malformed(now time.Time, m *bgp.Malformed) {
	f := Fault{
		At:        now,
		Degree:    AttributeDropped,
		Service:   bgp.Service(bytes.Clone([]byte(m.Service))),
		Attribute: m.Attribute,
		Reason:    m.Reason,
		Routes:    m.Routes,
	}
	if m.Withdrawn {
		f.Degree = TreatedAsWithdrawn
	}
	p.fault(f, m.Bytes)
}

// fault counts a fault, and keeps it with its bytes until newer ones take its place.
func (p *peer) fault(f Fault, raw []byte) {
	if p.count.Faults == nil {
		p.count.Faults = map[FaultKind]uint64{}
	}
	n := uint64(max(1, f.Routes))
	p.count.Malformed += n
	p.count.Faults[FaultKind{f.Degree, f.Attribute}] += n
	f.Bytes = bytes.Clone(raw[:min(len(raw), bgp.MaxFaultBytes)])
	if len(p.faults) == maxFaults {
		p.faults = p.faults[:copy(p.faults, p.faults[1:])]
	}
	p.faults = append(p.faults, f)
}
