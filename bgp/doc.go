// Package bgp is the vocabulary of the router: who peers (Org, NodeID), what is routed (Service, Protocol), what a
// peer says of it (Attributes, Update) and how sessions speak (Open, Notification and the other messages).
//
// The semantics are those of BGP-4 (RFC 4271) and its extensions, with "service" read for "prefix" and "organisation"
// for "autonomous system". The straight line through the program is
//
//	peer bytes → message → event → Speaker.Step → Loc-RIB change → Compile → resources → ADS → Envoy
//
// and each arrow has its package: bgp/wire decodes, bgp/speaker steps over bgp/fsm and bgp/rib, xds compiles, xds/ads
// serves.
//
// This package imports the standard library only and holds plain values: no clock, goroutine, socket, file or logger.
// It does not encode (bgp/attr, bgp/wire), decide (bgp/rib) or filter (bgp/filter).
package bgp
