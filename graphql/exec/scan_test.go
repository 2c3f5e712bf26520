package exec

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// depth is how deep the brackets of valid JSON are nested.
func depth(b []byte) int {
	most, now, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

// checkScan holds the scanner against encoding/json: it accepts the same texts (but demands UTF-8, and has a bound on
// nesting), and what it prints is the compacted text.
func checkScan(t interface{ Fatalf(string, ...any) }, b []byte) {
	var tr tree
	tr.reset(testTypes, 1<<20)
	before := len(tr.nodes)
	root, err := tr.scan(b)
	want := json.Valid(b) && utf8.Valid(b) && depth(b) <= maxDepth
	if (err == nil) != want {
		t.Fatalf("scan %q: %v, want accepted: %v", b, err, want)
	}
	if err != nil {
		if len(tr.nodes) != before || len(tr.docs) != 0 {
			t.Fatalf("scan %q: a failed scan left %d nodes", b, len(tr.nodes)-before)
		}
		return
	}
	var compact bytes.Buffer
	json.Compact(&compact, b)
	if got := tr.appendJSON(nil, root); !bytes.Equal(got, compact.Bytes()) {
		t.Fatalf("scan %q: prints %s", b, got)
	}
	if c := tr.copy(root); !bytes.Equal(tr.appendJSON(nil, c), compact.Bytes()) {
		t.Fatalf("scan %q: the copy prints %s", b, tr.appendJSON(nil, c))
	}
}

func scanSeeds() []string {
	return []string{
		``, ` `, `null`, `nul`, `nulll`, `true `, `falsy`, `0`, `-`, `-0`, `01`, `1.`, `1.5e+10`, `1e`, `.5`, `+1`, `1 2`,
		`""`, `"`, `"a\u00e4\n\/"`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\x01\"", "\"\xff\"", `"ä😀"`,
		"\"long enough for eight bytes \\\" and more\x7f\"", `"1234567\"`,
		`{}`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a" : [ ] , "a":{}}`, `{"a":1 "b":2}`, `{,}`,
		`[]`, `[1,2,[3,{"x":[]}]]`, `[1,]`, `[,1]`, `[`, `]`, `[}`, `{]`, `[[]`, "\t[\r\n1 ]\n", `{"data":{"a":"b"}}x`,
		"\xef\xbb\xbf{}",
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000), strings.Repeat("[", 1001) + strings.Repeat("]", 1001),
		strings.Repeat(`{"a":`, 2000),
	}
}

func TestScan(t *testing.T) {
	for _, s := range scanSeeds() {
		checkScan(t, []byte(s))
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range scanSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkScan(t, b) })
}

// Random JSON with one byte changed is near enough to JSON to reach every branch.
func TestScanProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, _ := json.MarshalIndent(jsonValue(t, 3), "", rapid.SampledFrom([]string{"", " "}).Draw(t, "indent"))
		if len(b) > 0 && rapid.Bool().Draw(t, "damage") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("\x00\"\\{}[],:0-e.tn \xc3")).Draw(t, "byte")
		}
		checkScan(t, b)
	})
}

func jsonValue(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return rapid.Float64Range(-1e30, 1e30).Draw(t, "float")
	case 4:
		return rapid.StringMatching(`[ -~äß\n"]{0,20}`).Draw(t, "string")
	case 5:
		list := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "len") {
			list = append(list, jsonValue(t, depth-1))
		}
		return list
	}
	m := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "len") {
		m[rapid.StringMatching(`[a-c"ä]{1,3}`).Draw(t, "key")] = jsonValue(t, depth-1)
	}
	return m
}

func TestUnquote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		b, _ := json.Marshal(s)
		if got := unquote(b[1 : len(b)-1]); got != s {
			t.Fatalf("unquote %s: got %q, want %q", b, got, s)
		}
	})
	for in, want := range map[string]string{`\ud83d\ude00`: "😀", `\ud83d`: "\ufffd", `\ud83dx`: "\ufffdx",
		`\ud83d\u0041`: "\ufffdA", `\b\f\r\t\/\\`: "\b\f\r\t/\\"} {
		if got := unquote([]byte(in)); got != want {
			t.Errorf("unquote %s: got %q, want %q", in, got, want)
		}
	}
}

// Objects with very many fields must not make merging or printing quadratic: this would take minutes.
func TestManyFields(t *testing.T) {
	var a, b strings.Builder
	const n = 200_000
	for i := range n {
		if i > 0 {
			a.WriteByte(',')
			b.WriteByte(',')
		}
		k, _ := json.Marshal(i)
		a.WriteString(`"a` + string(k) + `":1`)
		b.WriteString(`"a` + string(k[:len(k)-1]) + `x` + string(k[len(k)-1:]) + `":2`)
	}
	var tr tree
	tr.reset(testTypes, 1<<22)
	x, err := tr.scan([]byte("{" + a.String() + "}"))
	if err != nil {
		t.Fatal(err)
	}
	y, err := tr.scan([]byte("{" + b.String() + "}"))
	if err != nil {
		t.Fatal(err)
	}
	tr.merge(x, y, true)
	for range 1000 {
		if tr.field(x, "absent", 0) != 0 {
			t.Fatal("found what is not there")
		}
	}
	if c := tr.field(x, "a19999x9", 0); string(tr.text(c)) != "2" {
		t.Errorf("got node %d", c)
	}
}
