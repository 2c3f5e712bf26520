// Package bearer verifies bearer tokens for the gateway: JWTs signed with ES384 and nothing else, by a key of a JWKS
// (RFC 7517) that is read from a file or a URL, for one issuer and one audience, within their time, and by the holder
// of the certificate they are bound to (RFC 8705).
//
//	v, err := bearer.New(bearer.Config{Source: secret.NewURL("https://auth.acme.example/jwks"), Issuer: …, Audience: …})
//	go v.Run(ctx)
//	principal, err := v.Verify(ctx, token, certificate)
//
// Tokens are neither kept nor logged; what was verified is remembered under a hash until the token expires or the
// keys change.
package bearer
