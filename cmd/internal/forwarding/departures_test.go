package forwarding

import (
	"fmt"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

func TestDeparturesAreBounded(t *testing.T) {
	var d departures
	at := time.Unix(1, 0)
	for i := range 3 * maxDeparted {
		d.note(bgp.Service(fmt.Sprintf("s%d.acme.example", i)), at)
		d.note("always.acme.example", at.Add(time.Duration(i)))
	}
	if len(d.at) > maxDeparted || len(d.order) > maxDeparted {
		t.Errorf("%d services are remembered", len(d.at))
	}
	if _, ok := d.at[bgp.Service(fmt.Sprintf("s%d.acme.example", 3*maxDeparted-1))]; !ok {
		t.Error("the newest is forgotten")
	}
}
