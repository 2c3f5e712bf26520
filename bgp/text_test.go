package bgp

import "testing"

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"edge-1: Zürich, 東京 ✓": "edge-1: Zürich, 東京 ✓",
		"a\nb\r\tc":            "a b  c",
		"\x1b[2J\x1b]0;x\a":    "�[2J�]0;x�",
		"\u202egnp.exe":        "�gnp.exe",
		"\u0085\u2028\x7f":     "  �",
		"\xff\xfe":             "��",
		"":                     "",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
