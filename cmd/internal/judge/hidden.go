package judge

import (
	"fmt"

	"github.com/catalyst-router/catalyst/bgp"
)

// Hidden tells that no application beside this node may call a service, whatever it says who it is, and why: policies
// are asked about such calls, and none permits any to this service. About connections to TCP services they are asked
// where these come in from other nodes, and not here.
func (j *Judge) Hidden(svc bgp.Service, org bgp.Org, tcp bool) (why string, hidden bool) {
	if tcp || !j.cfg.Egress || j.cfg.Shadow {
		return "", false
	}
	snap := j.engine.Snapshot()
	if snap == nil {
		return "no policies are in force, and nothing is permitted: see catalyst policy list", true
	}
	if snap.Reachable(string(svc), string(org)) {
		return "", false
	}
	return fmt.Sprintf("no policy permits anybody beside this node to call %s: it is answered as if it did not exist",
		svc), true
}
