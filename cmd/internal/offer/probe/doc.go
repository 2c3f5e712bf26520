// Package probe checks the workloads of a node's own services: over HTTP, by the gRPC health protocol
// (grpc.health.v1), or by connecting. What results mean is a pure machine (Machine: thresholds, jitter, hold-down);
// asking is a thin shell around it (Set).
//
//	set := probe.NewSet(probe.Config{Log: log, Changed: func(ctx context.Context, svc bgp.Service) { … }})
//	go set.Run(ctx)                          // blocks; returns when every check has stopped
//	set.Put("books.acme.example", target)    // checks at once, then every interval
//
// It decides nothing about routes: whoever is told of a change announces or withdraws.
package probe
