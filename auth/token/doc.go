// Package token holds what a Catalyst token says and decides whether one may be believed: principals, claims, strict
// parsing, verification and key sets (JWKS, RFC 7517). It signs and verifies ES384; tokens of an external issuer may
// be signed otherwise, if that issuer is configured so. It reads no file, opens no connection and knows neither
// routing nor GraphQL.
//
//	v, err := token.NewVerifier(token.Config{Audience: "acme.example", Issuers: issuers, Revocations: feed})
//	claims, err := v.Verify(ctx, raw, token.ThumbprintOf(leaf))   // leaf: the caller's certificate in TLS, or nil
//
// An error is either a *Refusal, whose Reason says which rule the token broke, or wraps ErrUnavailable when the token
// could be neither believed nor refused. No error repeats anything of a token.
package token
