package logfile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

const format = "test 1\n"

// read returns the records of a file, and what it ends with.
func read(b []byte) (all []string, err error) {
	r, err := NewReader(bytes.NewReader(b), format)
	for err == nil {
		var rec []byte
		if rec, err = r.Next(); err == nil {
			all = append(all, string(rec))
		}
	}
	return all, err
}

// Wherever a file is cut off, the records before the cut are read, and a cut within one is told from the end.
func TestCutAnywhere(t *testing.T) {
	records := []string{"a", strings.Repeat("b", 200), strings.Repeat("c", MaxRecord)}
	file, ends := []byte(format), map[int]int{len(format): 0}
	for i, r := range records {
		file = Append(file, []byte(r))
		ends[len(file)] = i + 1
	}
	whole := 0
	for n := range len(file) + 1 {
		if n > 600 && n < len(file)-600 && n%4093 != 0 {
			continue
		}
		got, err := read(file[:n])
		if n < len(format) {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			continue
		}
		want := ErrCutOff
		if k, ok := ends[n]; ok {
			whole, want = k, io.EOF
		}
		if !errors.Is(err, want) || !slices.Equal(got, records[:whole]) {
			t.Fatalf("cut at %d: %d records, %v; want %d, %v", n, len(got), err, whole, want)
		}
	}
}

// A bit that has flipped is noticed, and a length that cannot be costs nothing.
func TestDamage(t *testing.T) {
	file := Append(Append([]byte(format), []byte("first")), []byte("second"))
	for i := len(format); i < len(file); i++ {
		bad := slices.Clone(file)
		bad[i] ^= 1
		if got, err := read(bad); len(got) == 2 || errors.Is(err, io.EOF) {
			t.Errorf("byte %d is damaged: %q, %v", i, got, err)
		}
	}
	for name, length := range map[string]string{"zero": "\x00", "too long": "\x81\x80\x40",
		"no number": strings.Repeat("\xff", 11)} {
		if _, err := read([]byte(format + length + "xxxx")); err == nil || errors.Is(err, io.EOF) ||
			errors.Is(err, ErrCutOff) {
			t.Errorf("length %s: %v", name, err)
		}
	}
}
