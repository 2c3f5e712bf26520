// Package ads serves compiled resources to Envoys over the aggregated discovery service: delta (envoy.service.discovery.v3, "Incremental xDS"), and
// state of the world for clients that know nothing else. It keeps what each of them has accepted and refused, in its own words.
//
//	s := ads.NewServer(cfg)
//	s.Publish(delta)          // as often as something changes
//	s.Open()                  // the first view is complete: streams may be answered
//	go s.Serve(ctx, listener)
//
// An Envoy that reconnects says what it has; it is sent the difference and nothing else, since versions are hashes of content. Until
// Open nothing is answered, because an empty answer would wipe an Envoy that still serves. A change costs its own resources:
// nothing walks the table. Additions go out in make-before-break order; a cluster is removed only when the Envoy has acknowledged
// what no longer names it, or after a while.
package ads
