package forwarding

import (
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// maxDeparted is how many services that went away are remembered.
const maxDeparted = 1024

// departures remembers when services went away; the oldest are forgotten first.
type departures struct {
	at    map[bgp.Service]time.Time
	order []bgp.Service
}

func (d *departures) note(svc bgp.Service, at time.Time) {
	if d.at == nil {
		d.at = map[bgp.Service]time.Time{}
	}
	if _, again := d.at[svc]; !again {
		if d.order = append(d.order, svc); len(d.order) > maxDeparted {
			delete(d.at, d.order[0])
			d.order = d.order[1:]
		}
	}
	d.at[svc] = at
}
