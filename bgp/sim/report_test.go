package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// complaints are what a node hears about a service of its own: "d: refused: why".
func (n *Net) complaints(at string) string {
	var all []string
	for _, c := range n.Node(id(at)).Speaker().Complaints(books) {
		all = append(all, fmt.Sprintf("%s: %s: %s", c.Node.Name, c.Kind, c.Text))
	}
	return strings.Join(all, "; ")
}

func (n *Net) wantComplaints(t *testing.T, at, want string) {
	t.Helper()
	if got := n.complaints(at); got != want {
		t.Errorf("after %s, %s hears %q, want %q", n.Now.UTC().Format("15:04:05"), at, got, want)
	}
}

// What an Envoy two nodes away has against a service is known where the service is offered, as long as it is true.
func TestReportsReachTheOrigin(t *testing.T) {
	n := build(t, "a-b b-c c-d")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Do(id("d"), speaker.Problem{Service: books, Kind: bgp.ReportRefused, Text: "bad cluster"})
	n.Do(id("c"), speaker.Problem{Service: books, Kind: bgp.ReportNoForward, Text: "no address"})
	n.Run(time.Second)
	n.wantComplaints(t, "a", "c: not compiled: no address; d: refused: bad cluster")
	n.wantComplaints(t, "b", "") // nodes on the way keep nothing
	n.Do(id("c"), speaker.Problem{Service: books, Kind: bgp.ReportResolved})
	n.Run(time.Second)
	n.wantComplaints(t, "a", "d: refused: bad cluster")
	n.Run(10 * time.Minute)
	n.wantComplaints(t, "a", "d: refused: bad cluster") // it is repeated

	// The origin restarts: it hears again. A node on the way restarts: nothing is lost.
	n.Crash(id("a"))
	n.Run(time.Second)
	n.Restart(id("a"))
	n.Run(time.Minute)
	n.wantComplaints(t, "a", "d: refused: bad cluster")

	// The reporter is gone for good: it is forgotten.
	n.Crash(id("d"))
	n.Run(time.Minute)
	n.wantComplaints(t, "a", "d: refused: bad cluster")
	n.Run(time.Minute)
	n.wantComplaints(t, "a", "")
}

// A reporter that meets its neighbour only later tells it as soon as it has its table.
func TestReportsAreToldToANewSession(t *testing.T) {
	n := build(t, "a-b")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Do(id("b"), speaker.Problem{Service: books, Kind: bgp.ReportRefused, Text: "bad"})
	n.Run(time.Second)
	n.Crash(id("a"))
	n.Run(time.Second)
	n.Restart(id("a"))
	for i := 0; n.complaints("a") == "" && i < 20; i++ {
		n.Run(500 * time.Millisecond)
	}
	n.wantComplaints(t, "a", "b: refused: bad")
	if up := n.Node(id("a")).Speaker().Peers()[0].Since; n.Now.Sub(up) > 2*time.Second {
		t.Errorf("told %s after the session came up, want at once", n.Now.Sub(up))
	}
}

// Reports that go round are stopped, and a peer cannot fill this node with them.
func TestReportsAreBounded(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	c := n.Node(id("c"))
	toB := c.ordered()[0]
	forge := func(r *bgp.Report) { n.send(c, speaker.Send{Conn: toB.id, Msg: r}) }
	forge(&bgp.Report{Service: books, Node: id("x"), Kind: bgp.ReportRefused, Hops: bgp.MaxHops})
	forge(&bgp.Report{Service: "none.acme.example", Node: id("x"), Kind: bgp.ReportRefused})
	forge(&bgp.Report{})
	n.Run(time.Second)
	n.wantComplaints(t, "a", "")
	for i := range 5000 {
		forge(&bgp.Report{Service: books, Node: id(fmt.Sprintf("x%d", i)), Kind: bgp.ReportRefused})
		if i%100 == 0 {
			n.Run(50 * time.Millisecond)
		}
	}
	n.Run(time.Second)
	if got := len(n.Node(id("a")).Speaker().Complaints(books)); got != 1000 {
		t.Errorf("a keeps %d, want the limit of 1000", got)
	}
	n.want(t, "c", books, "b") // and nothing else has come of it
}
