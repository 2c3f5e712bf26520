#!/usr/bin/env bash
# compose-go 2.16.2, the reader of Compose v2 files: in the short form of a volume, a name of one letter is read as a drive of Windows, on Linux too. "a:/data"
# is not the volume a at /data, but a nameless volume at the path "a:/data"; "ab:/data" is the volume ab at /data. Nothing complains: the volume a, declared
# in the same file, is made and used by nobody, and Docker's engine then refuses the container for a path that is not absolute. The pattern of volume names
# allows one letter, and Compose 1.29 on Linux takes the same file as it is meant. The long form ({type: volume, source: a, target: /data}) is the same to
# both. Seen with the files of a product whose nodes are called a, b and c.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithName("x"))
	if err != nil {
		panic(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		panic(err)
	}
	for _, v := range project.Services["s"].Volumes {
		fmt.Printf("type=%s source=%q target=%q\n", v.Type, v.Source, v.Target)
	}
}
GO
cat > compose.yaml <<'YAML'
services:
  s:
    image: scratch
    volumes: ["a:/data", "ab:/data2", {type: volume, source: a, target: /data3}]
volumes: {a: {}, ab: {}}
YAML
go mod init finding >/dev/null 2>&1
export GOMODCACHE=$dir/mod GOFLAGS=-mod=mod
go get github.com/compose-spec/compose-go/v2/cli@v2.16.2 >/dev/null 2>&1
go run . | tee out
diff out - <<'WANT'
type=volume source="" target="a:/data"
type=volume source="ab" target="/data2"
type=volume source="a" target="/data3"
WANT
echo 'as described'
