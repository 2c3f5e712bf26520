// Package ads serves compiled resources to Envoys over the aggregated discovery service: delta (envoy.service.discovery.v3, "Incremental xDS"), and
// state of the world for clients that know nothing else. It keeps what each of them has accepted and refused, in its own words.
//
//	s := ads.NewServer(cfg)
//	s.Restore(resources)      // what Envoy took when an earlier process ran, if that was kept
//	s.Publish(delta)          // as often as something changes
//	s.Open()                  // the first view is complete: streams may be answered
//	go s.Serve(ctx, listener)
//
// An Envoy that reconnects says what it has; it is sent the difference and nothing else, since versions are hashes of content. Until
// Open, or Restore, nothing is answered, because an empty answer would wipe an Envoy that still serves. A change costs its own resources:
// nothing walks the table. Additions go out in make-before-break order, and what names a cluster waits until the Envoy has it.
//
// Beside the newest version of a resource the server has the last one that every Envoy took. An Envoy that refuses a version is given that one, and what needs
// the refused version stays on its own last one (docs/data-plane.md, "Quarantine"). A cluster is gone when none of these versions needs it.
package ads
