// Package speaker is the protocol core of one node: its sessions with its peers over the tables of bgp/rib, as one
// step function.
//
//	sp := speaker.New(cfg, rnd)
//	for {
//		ev := next event, or speaker.Tick{} at sp.NextDeadline()
//		for _, eff := range sp.Step(now, ev) {
//			carry eff out
//		}
//		drain the cursors that sp.Table() gave
//	}
//
// It starts no goroutine, reads no clock and touches no network; the same events give the same effects. bgp/peering
// is the shell around it, bgp/sim runs many in one process.
package speaker
