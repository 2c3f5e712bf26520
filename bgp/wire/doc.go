// Package wire turns messages into frames and back: the protobuf wire format of proto/catalyst/peering/v1, written by
// hand because UPDATE is the hot path, and checked against the generated code in its tests.
//
// Limits are enforced while reading, before anything is allocated for what exceeds them. What is wrong with one route
// costs that route (RFC 7606): Decode turns it into a withdrawal and says so in Update.Malformed. Only a frame that
// cannot be read at all is an error.
package wire
