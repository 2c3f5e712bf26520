package rulefile

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/catalyst-router/catalyst/bgp/filter"
)

// The example in the documentation is a good file of rules, and what peer show prints of it is the same rules again.
func TestRulesAreShownAsTheyAreRead(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/rules.md has no example")
	}
	read := func(text string) *filter.Chain {
		t.Helper()
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c := new(filter.Chain)
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(c); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := read(example)
	zero := uint32(0)
	want.Terms[1].Set.MED = &zero // a wish as any other
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var out bytes.Buffer
	if err := Show(&out, "import", &text); err != nil {
		t.Fatal(err)
	}
	if got := read(out.String()); !got.Equal(want) {
		t.Errorf("shown:\n%s\nwant %s", out.String(), text)
	}
	if strings.Contains(out.String(), "null") || strings.Contains(out.String(), "orgs") {
		t.Errorf("what is empty is shown:\n%s", out.String())
	}
}
