package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// Whatever way a configuration is shown, the secrets in it are not.
func TestNothingPrintsASecret(t *testing.T) {
	type config struct {
		Token  Text            `yaml:"token"`
		Header map[string]Text `yaml:"header"`
		URL    URL             `yaml:"url"`
		URLs   []URL           `yaml:"urls"`
	}
	var c config
	text := "token: s3cret\nheader: {Authorization: Bearer s3cret}\nurl: " +
		"https://joe:s3cret@books.example/x?key=s3cret\nurls: ['https://s3cret@books.example/', 'http://a b:s3cret@/%zz']\n"
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if c.Token.Reveal() != "s3cret" || c.Header["Authorization"].Reveal() != "Bearer s3cret" ||
		!strings.Contains(c.URL.Reveal(), "s3cret") {
		t.Fatalf("it is not kept: %q", c.Token.Reveal())
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+" "+verb+"\n", c.Token, &c.URL)
	}
	j, err1 := json.Marshal(c)
	y, err2 := yaml.Marshal(c)
	_, err3 := c.URLs[1].Parse()
	if err := errors.Join(err1, err2); err != nil || err3 == nil {
		t.Fatal(err, err3)
	}
	fmt.Fprintf(&out, "%s\n%s\n%v\n%v\n", j, y, err3, fmt.Errorf("url %q: bad", c.URL))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "url", c.URL, "token", c.Token)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "url", c.URL, "token", c.Token)
	if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), fmt.Sprintf("%x", "s3cret")) {
		t.Errorf("a secret is printed:\n%s", out.String())
	}
	if got, want := c.URL.String(), "https://joe:(hidden)@books.example/x?key=(hidden)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := NewURL("/etc/keys.json").String(); got != "/etc/keys.json" {
		t.Errorf("got %s", got)
	}
	if bare, user := c.URL.Bare(); bare != "https://books.example/x?key=s3cret" || user.Username() != "joe" {
		t.Errorf("got %s, %s", bare, user)
	}
}
