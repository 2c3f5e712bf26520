// Command licenses prints the notice of everything that is linked into a program: each licence once, below the
// modules that have it. The argument is the program's package. A module without a licence is an error.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licenses PACKAGE")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	err := run(out, os.Args[1])
	if err := errors.Join(err, out.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// pkg is what go list says of a package.
type pkg struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Main               bool
	}
}

func run(w io.Writer, program string) error {
	packages, err := list(program)
	if err != nil {
		return err
	}
	goroot, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return err
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(goroot)), "\n")
	notices := map[string][]string{} // by text: who has it
	add := func(who, dir string) error {
		texts, err := textsOf(dir)
		for _, text := range texts {
			if !slices.Contains(notices[text], who) {
				notices[text] = append(notices[text], who)
			}
		}
		return err
	}
	if err := add("the Go standard library, as of "+release(version), root); err != nil {
		return err
	}
	found := map[string]bool{}
	for _, p := range packages {
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		who := p.Module.Path + " " + p.Module.Version
		for dir := p.Dir; strings.HasPrefix(dir, p.Module.Dir); dir = filepath.Dir(dir) {
			before := len(notices)
			if err := add(who, dir); err != nil {
				return err
			}
			found[who] = found[who] || len(notices) > before || dir == p.Module.Dir && has(notices, who)
		}
	}
	for who, ok := range found {
		if !ok {
			return fmt.Errorf("%s has no licence", who)
		}
	}
	print(w, notices)
	return nil
}

// release is a version of Go without its patch: the licence is that of all of them.
func release(version string) string {
	return regexp.MustCompile(`^(go1\.\d+).*`).ReplaceAllString(version, "$1")
}

func has(notices map[string][]string, who string) bool {
	for _, all := range notices {
		if slices.Contains(all, who) {
			return true
		}
	}
	return false
}

func print(w io.Writer, notices map[string][]string) {
	fmt.Fprintf(w, "Catalyst Router contains software of others. Each licence below is that of the modules named "+
		"above it.\n")
	type entry struct {
		who  []string
		text string
	}
	var all []entry
	for text, who := range notices {
		slices.Sort(who)
		all = append(all, entry{who, text})
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := slices.Compare(a.who, b.who); c != 0 {
			return c
		}
		return strings.Compare(a.text, b.text)
	})
	for _, e := range all {
		fmt.Fprintf(w, "\n%s\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(e.who, "\n"), strings.Repeat("-", 80),
			e.text)
	}
}

// textsOf returns the licences and notices in a directory, with spaces at the ends of lines removed.
func textsOf(dir string) (texts []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.].*)?$`)
	for _, f := range files {
		if f.IsDir() || !names.MatchString(f.Name()) || strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		var lines []string
		for line := range strings.Lines(string(b)) {
			lines = append(lines, strings.TrimRight(line, " \t\r\n\f"))
		}
		texts = append(texts, strings.Trim(strings.Join(lines, "\n"), "\n"))
	}
	return texts, nil
}

func list(program string) (packages []pkg, err error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,Standard,Module", program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}
