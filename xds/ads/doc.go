// Package ads serves compiled resources to Envoys over the aggregated discovery service: delta
// (envoy.service.discovery.v3, "Incremental xDS"), and state of the world for clients that know nothing else. It
// keeps what each of them has accepted and refused, in its own words.
//
//	s := ads.NewServer(cfg)
//	s.Publish(start)          // listeners and secrets, from xds.Compiler.Start
//	s.Restore(resources)      // what Envoy took when an earlier process ran, if that was kept
//	go s.Serve(ctx, listener)
//	for change := range changes {
//		delta, problems := compiler.Apply(change)
//		s.Publish(delta)      // before Open as well as after it
//		if complete {
//			s.Open()      // the first view is complete: streams may be answered
//		}
//	}
//
// An Envoy that reconnects says what it has; it is sent the difference and nothing else, since versions are hashes of
// content. Until Open, or Restore, nothing is answered, because an empty answer would wipe an Envoy that still
// serves. A change costs its own resources: nothing walks the table. Additions go out in make-before-break order, and
// what names a cluster waits until the Envoy has it.
//
// Observers (Config.OnAck, OnNack, OnQuarantine, Store) are told what Envoys take and refuse once the lock is released,
// in the order in which it happened, and may ask the server.
//
// Beside the newest version of a resource the server has the last one that every Envoy took. An Envoy that refuses a
// version is given that one, and what needs the refused version stays on its own last one (docs/data-plane.md,
// "Quarantine"). A cluster is gone when none of these versions needs it.
package ads
