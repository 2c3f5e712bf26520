// Package attr is the canonical encoding of a route's attributes, and the few operations that work on the encoded
// form.
//
// The encoding is the protobuf wire format of message Attributes in bgp/wire, with the fields in ascending order,
// nothing that equals its default, and communities and tags sorted and without doubles. Equal sets are therefore
// equal bytes: a table keeps each set once and compares sets by number. Because the node path is field 1 and its
// nearest hop stands first, announcing a route onwards puts one hop in front of bytes that need not be decoded
// (PrependHop).
//
//	sum, problem := attr.Check(b)            // once, at the edge: limits, names, canonical form
//	out = attr.PrependHop(out, self, b)      // at each hop
//	a, err := attr.Parse(b)                  // only where a filter, the compiler or a person looks
//
// It imports the standard library only, and does not know tables, sessions or the other messages.
package attr
