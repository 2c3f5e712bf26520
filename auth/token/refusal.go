package token

import (
	"errors"
	"fmt"
)

// Reason is the rule that a token broke, as logs, metrics and audit entries name it.
type Reason string

// The reasons.
const (
	Malformed      Reason = "malformed"         // not three strict base64url parts of strict JSON
	TooLarge       Reason = "too_large"         // more bytes, members or depth than allowed
	BadHeader      Reason = "header"            // a header member that must not be there, crit and jku among them
	WrongType      Reason = "type"              // typ is that of another kind of token
	WrongAlgorithm Reason = "algorithm"         // alg is not that of the key
	UnknownIssuer  Reason = "issuer"            // iss is nobody we trust, or not any more
	UnknownKey     Reason = "key"               // kid is not a key of that issuer, or its time is over
	BadClaim       Reason = "claim"             // a claim is missing, of the wrong type, or out of bounds
	WrongAudience  Reason = "audience"          // aud does not name us
	Expired        Reason = "expired"           // exp has passed
	NotYet         Reason = "not_yet"           // nbf or iat lie ahead
	TooLong        Reason = "lifetime"          // valid for longer than the issuer may say
	BadSignature   Reason = "signature"         // not signed by that key
	Revoked        Reason = "revoked"           // its jti, subject, certificate or key is revoked
	WrongBinding   Reason = "certificate"       // bound to another certificate than the caller's
	Unbound        Reason = "unbound"           // not bound, where the action wants a bound token
	Stale          Reason = "revocations_stale" // what is revoked is not known well enough any more
)

// Refusal says why a token is not believed. It holds nothing of the token.
type Refusal struct {
	Reason Reason
	Text   string // in words, for the log of whoever refuses; never for the caller
}

// Error implements error.
func (r *Refusal) Error() string { return "token refused: " + r.Text }

// Is makes errors.Is(err, &Refusal{Reason: Expired}) ask for the reason alone.
func (r *Refusal) Is(target error) bool {
	var other *Refusal
	return errors.As(target, &other) && other.Text == "" && other.Reason == r.Reason
}

// ReasonOf returns the reason of a refusal, or "" if err is none.
func ReasonOf(err error) Reason {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	return ""
}

// ErrUnavailable says that a token could be neither believed nor refused: keys could not be had, or too many
// signatures wait to be checked. Whoever asks has to deny, and may say that trying again helps (503).
var ErrUnavailable = errors.New("tokens cannot be verified at the moment") //nolint:gochecknoglobals // a sentinel

func refuse(r Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: r, Text: fmt.Sprintf(format, args...)}
}
