// Command catalyst is a node of a decentralised service router, and its command line.
package main

import (
	"context"
	"os"

	"github.com/catalyst-router/catalyst/cmd/internal/cli"
)

// version is set by the linker.
var version = "dev" //nolint:gochecknoglobals // the linker sets variables only

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, version))
}
