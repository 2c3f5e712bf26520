package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// IssuerOf is what a token says of its issuer, which nothing proves yet; "" if it says nothing.
func IssuerOf(raw string) string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Iss string }
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Iss
}
