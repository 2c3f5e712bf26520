// Package attest says who may announce what: an organisation lists the names that it offers, signs the list once, and
// whoever has the organisation's key tells for each route whether the list covers it (after RFC 6482 and RFC 6811, with
// "prefix" read as "service"). It is values in, values out: no clock, no I/O.
//
//	signed, chunks, err := attest.Sign(set, key, rand.Reader)   // the organisation, once for all its routes
//	store.SetKeys("acme.example", keys)                         // whoever trusts it
//	err = store.Add(now, signed, chunks)
//	state, why := store.Validate(&attest.Route{Service: "books.acme.example", …})
//
// A set is a manifest, which is signed, and chunks of entries, whose digests the manifest lists: 100,000 entries take
// one signature, and a changed list sends the chunks that changed. docs/attestation.md is the format.
package attest
