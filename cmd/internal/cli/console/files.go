package console

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/policy"
)

// OutFlag is for what is printed once and is secret: containers whose images have no shell cannot redirect it.
func OutFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("out", "", "file to write it to (mode 0600), in place of printing it")
}

// WriteSecret writes a line that is secret into a file.
func (a *App) WriteSecret(path, text string) error {
	if err := disk.Replace(path, []byte(text+"\n"), 0o600); err != nil {
		return err
	}
	a.Say("written to %s.", path)
	return nil
}

// PolicyFiles reads policies (*.cedar) and entities (*.json): files, and those of directories.
func PolicyFiles(paths []string) (src policy.Source, err error) {
	for _, path := range paths {
		files := []string{path}
		info, err := os.Stat(path)
		if err != nil {
			return src, UsageError{err}
		}
		if info.IsDir() {
			files = nil
			for _, pattern := range []string{"*.cedar", "*.json"} {
				found, _ := filepath.Glob(filepath.Join(path, pattern)) // its only error is a bad pattern
				files = append(files, found...)
			}
			if len(files) == 0 {
				return src, UsageError{fmt.Errorf("%s: there is no *.cedar and no *.json in it", path)}
			}
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return src, UsageError{err}
			}
			doc := policy.Document{Name: filepath.Base(file), Text: string(b)}
			switch filepath.Ext(file) {
			case ".cedar":
				src.Policies = append(src.Policies, doc)
			case ".json":
				src.Entities = append(src.Entities, doc)
			default:
				return src, UsageError{fmt.Errorf("%s: want *.cedar for policies, or *.json for entities", file)}
			}
		}
	}
	return src, nil
}

// Given reads a token from an argument: @FILE, - for standard input, or the token itself, which others on the machine
// can then see.
func (a *App) Given(arg string) (string, error) {
	var b []byte
	var err error
	switch {
	case arg == "-":
		b, err = io.ReadAll(io.LimitReader(a.IO.In, 64<<10))
	case strings.HasPrefix(arg, "@"):
		b, err = os.ReadFile(arg[1:])
	default:
		return arg, nil
	}
	if err != nil {
		return "", UsageError{err}
	}
	return strings.TrimSpace(string(b)), nil
}
