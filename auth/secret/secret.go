// Package secret holds what must not be shown: its types print, log and marshal without what they hide, so that no
// format string, log line or listing can give it away. Whoever needs the secret itself asks for it by name (Reveal),
// which is easy to find.
package secret

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// Hidden stands where a secret is left out.
const Hidden = "(hidden)"

// Text is a secret: a password, a token, the value of a header. The zero value is none, and prints as nothing.
type Text struct{ text string }

// NewText returns a secret.
func NewText(text string) Text { return Text{text} }

// Reveal returns the secret itself.
func (t Text) Reveal() string { return t.text }

func (t Text) String() string {
	if t.text == "" {
		return ""
	}
	return Hidden
}

// Format implements fmt.Formatter: every verb prints the same.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Text) UnmarshalText(b []byte) error {
	t.text = string(b)
	return nil
}

// URL is a URL, or a file's path, that may have a user and password in it. It prints with the password hidden, and
// the values of its query.
type URL struct{ text string }

// NewURL returns a URL. It need not be a good one: Parse tells.
func NewURL(text string) URL { return URL{text} }

// Reveal returns the URL with its password.
func (u URL) Reveal() string { return u.text }

// Bare returns the URL without user and password, and these; nil if it has none.
func (u URL) Bare() (string, *url.Userinfo) {
	parsed, err := url.Parse(u.text)
	if err != nil || parsed.User == nil {
		return u.text, nil
	}
	user := parsed.User
	parsed.User = nil
	return parsed.String(), user
}

// Parse reads the URL. The error does not repeat it.
func (u URL) Parse() (*url.URL, error) {
	parsed, err := url.Parse(u.text)
	if err != nil {
		return nil, fmt.Errorf("%s is no URL", u)
	}
	return parsed, nil
}

func (u URL) String() string {
	parsed, err := url.Parse(u.text)
	if err != nil {
		return Hidden // who knows what is in it
	}
	if parsed.User == nil && parsed.RawQuery == "" {
		return u.text
	}
	if _, has := parsed.User.Password(); has {
		parsed.User = url.UserPassword(parsed.User.Username(), Hidden)
	} else if parsed.User != nil {
		parsed.User = url.User(Hidden) // a token alone stands in the user's place
	}
	if query := parsed.Query(); len(query) > 0 {
		for name := range query {
			query.Set(name, Hidden)
		}
		parsed.RawQuery = query.Encode()
	}
	return strings.ReplaceAll(parsed.String(), url.QueryEscape(Hidden), Hidden)
}

// Format implements fmt.Formatter: every verb prints the same, quoted where it asks for quotes.
func (u URL) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		_, _ = fmt.Fprintf(f, "%q", u.String())
		return
	}
	_, _ = f.Write([]byte(u.String()))
}

// LogValue implements slog.LogValuer.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON and YAML.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *URL) UnmarshalText(b []byte) error {
	u.text = string(b)
	return nil
}
