// Package envoy runs the Envoy beside a node: it finds the binary, writes its bootstrap, starts it so that it
// outlives the control plane, adopts one that still runs, asks its admin interface, and hands out the loopback ports
// of TCP services. What Envoy serves is compiled by xds and delivered by xds/ads.
package envoy
