#!/usr/bin/env bash
# github.com/goccy/go-yaml 1.19.2: an empty document, or one with nothing but a comment, ends the stream: what follows it is dropped without an error, by Decoder
# and by Unmarshal alike. Streams that tools write often begin so ("---", a comment, "---"). An explicit null or {} does not do it.
# go.yaml.in/yaml/v3 3.0.6, beside it on the same input, reads every document.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'MOD'
module finding

go 1.24

require (
	github.com/goccy/go-yaml v1.19.2
	go.yaml.in/yaml/v3 v3.0.6
)
MOD
cat > main.go <<'GO'
package main

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml"
	reference "go.yaml.in/yaml/v3"
)

func count(next func(any) error) (n int) {
	for {
		var v any
		if next(&v) != nil { // io.EOF, the only error here
			return n
		}
		if v != nil {
			n++
		}
	}
}

func main() {
	for _, in := range []string{
		"---\n# written by a tool\n---\na: 1\n", "a: 1\n---\n---\nb: 2\n", "a: 1\n---\nnull\n---\nb: 2\n", "a: 1\n---\nb: 2\n",
	} {
		var first map[string]any
		err := yaml.Unmarshal([]byte(in), &first)
		fmt.Printf("%q: goccy reads %d, yaml/v3 %d; goccy's Unmarshal gives %d keys, error %v\n", in,
			count(goccy(in)),
			count(reference.NewDecoder(bytes.NewReader([]byte(in))).Decode), len(first), err)
	}
}

func goccy(in string) func(any) error {
	d := yaml.NewDecoder(bytes.NewReader([]byte(in)))
	return func(v any) error { return d.Decode(v) }
}
GO
go mod tidy >/dev/null 2>&1
got=$(go run .)
echo "$got"
want='"---\n# written by a tool\n---\na: 1\n": goccy reads 0, yaml/v3 1; goccy'"'"'s Unmarshal gives 0 keys, error <nil>
"a: 1\n---\n---\nb: 2\n": goccy reads 1, yaml/v3 2; goccy'"'"'s Unmarshal gives 1 keys, error <nil>
"a: 1\n---\nnull\n---\nb: 2\n": goccy reads 2, yaml/v3 2; goccy'"'"'s Unmarshal gives 1 keys, error <nil>
"a: 1\n---\nb: 2\n": goccy reads 2, yaml/v3 2; goccy'"'"'s Unmarshal gives 1 keys, error <nil>'
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
