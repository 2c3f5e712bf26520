// Command manpages writes catalyst's manual pages and completions of shells into a folder, for packages.
//
//	go run ./cmd/manpages VERSION FOLDER
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra/doc"

	"github.com/catalyst-router/catalyst/cmd/internal/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manpages:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("want a version and a folder")
	}
	root := cli.Commands(args[0])
	root.DisableAutoGenTag = true
	man, completions := filepath.Join(args[1], "man"), filepath.Join(args[1], "completions")
	for _, dir := range []string{man, completions} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // everybody reads them
			return err
		}
	}
	begin := time.Unix(0, 0) // the same pages from the same sources
	header := &doc.GenManHeader{Section: "1", Source: "catalyst " + args[0], Manual: "Catalyst Router", Date: &begin}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	return errors.Join(root.GenBashCompletionFileV2(filepath.Join(completions, "catalyst"), true),
		root.GenZshCompletionFile(filepath.Join(completions, "_catalyst")),
		root.GenFishCompletionFile(filepath.Join(completions, "catalyst.fish"), true))
}
