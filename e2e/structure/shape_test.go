package structure

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	longestFunction = 60    // lines, outside tests
	longestLine     = 120   // characters; a tab is one
	largestPackage  = 2_000 // lines, without tests and what is generated
)

// large are the packages that are larger, with the lines that they may have: decision 0075 says why each is one.
func large() map[string]int {
	return map[string]int{
		"graphql/supergraph": 7_700,
		"graphql/plan":       6_800,
		"graphql/exec":       6_000,
		"bgp/rib":            4_800,
		"cmd/internal/api":   4_600,
		"xds":                4_300,
		"graphql/gateway":    4_000,
		"xds/ads":            3_200,
		"bgp/speaker":        3_000,
		"graphql/plan/graph": 2_500,
		"auth/service":       2_400,
		"auth/federation":    2_300,
		"bgp/peering":        2_300,
		"policy":             2_100,
	}
}

// Packages stay small. One that grows beyond its lines holds two things, and is cut between them.
func TestPackagesStaySmall(t *testing.T) {
	lines := map[string]int{}
	for _, name := range sources(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		lines[path.Dir(name)] += bytes.Count(text, []byte("\n"))
	}
	allowed := large()
	for dir, n := range lines {
		if most := max(largestPackage, allowed[dir]); n > most {
			t.Errorf("%s has %d lines, and may have %d", dir, n, most)
		}
		if n > largestPackage {
			delete(allowed, dir)
		}
	}
	for dir := range allowed {
		t.Errorf("%s has no more than %d lines now: take it from the list", dir, largestPackage)
	}
}

// long are the functions that may be longer, each with the reason: none of them does two things.
func long() map[string]string {
	return map[string]string{
		"bgp/speaker/speaker.go Step":                   "one case an event",
		"cmd/internal/cli/peers/apply.go exportCommand": "a command with its flags and what it prints",
		"cmd/internal/cli/peers/peer.go peerSet":        "a command with its flags",
		"cmd/internal/cli/routing/route.go routeSet":    "a command with its flags",
		"cmd/internal/daemon/daemon.go rooms":           "who is given what, in order",
		"cmd/internal/metrics/metrics.go New":           "a list of metrics",
		"graphql/plan/emit.go finish":                   "a literal of a plan's node",
		"graphql/plan/emit.go repFields":                "one case for each kind of field",
		"graphql/plan/graph/read.go objects":            "one step for each thing that a type's directives say",
		"xds/cluster.go hopCluster":                     "a literal of a cluster",
		"e2e/bench/graphql/live.go live":                "a benchmark, from its beginning to its end",
	}
}

// sources are the Go files that people write, below the repository's root.
func sources(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "*.go")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSpace(name); !generated(t, name) {
			all = append(all, name)
		}
	}
	if len(all) < 500 {
		t.Fatalf("only %d files", len(all))
	}
	return all
}

func generated(t *testing.T, name string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../"+name, nil, parser.ParseComments|parser.PackageClauseOnly)
	if os.IsNotExist(err) {
		return true // it was removed, and that is not committed yet
	}
	return err == nil && ast.IsGenerated(f)
}

// Functions fit in the eye. One that grows beyond that does two things, and is cut where it does.
func TestFunctionsFitInTheEye(t *testing.T) {
	allowed := long()
	for _, name := range sources(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, "../../"+name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := files.Position(fn.End()).Line - files.Position(fn.Pos()).Line + 1
			if key := name + " " + fn.Name.Name; lines > longestFunction && allowed[key] == "" {
				t.Errorf("%s:%d: %s has %d lines, and %d are enough for one thing", name, files.Position(fn.Pos()).Line,
					fn.Name.Name, lines, longestFunction)
			} else if lines > longestFunction {
				delete(allowed, key)
			}
		}
	}
	for key := range allowed {
		t.Errorf("%s is no longer longer than %d lines: take it from the list", key, longestFunction)
	}
}

// Lines fit on a screen, but for what no break makes shorter: strings in backquotes (descriptions of options, what
// tests compare), examples in comments, words to the linter, and names of 20 characters and more, such as those of
// Envoy's types.
func TestLinesFitOnAScreen(t *testing.T) {
	unbreakable := regexp.MustCompile(`\w{20}`)
	for _, name := range sources(t) {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		quoted := backquoted(text)
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			if strings.HasPrefix(line, "//\t") || unbreakable.MatchString(line) {
				continue
			}
			line, _, _ = strings.Cut(line, " //nolint:")
			if have := utf8.RuneCountInString(strings.TrimRight(line, "\n")); have > longestLine && !quoted[n] {
				t.Errorf("%s:%d: %d characters, want at most %d", name, n, have, longestLine)
			}
		}
	}
}

// backquoted are the lines on which a string in backquotes stands, or a part of it.
func backquoted(text []byte) map[int]bool {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	out := map[int]bool{}
	for {
		pos, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return out
		case tok == token.STRING && lit[0] == '`':
			for i := range 1 + strings.Count(lit, "\n") {
				out[file.Line(pos)+i] = true
			}
		}
	}
}

// Compose v2 takes "a:/data" for a path on a Windows drive, where 1.29 takes it for the volume a: the long form is
// the same to both.
func TestVolumesOfOneLetterAreNotTakenForDrives(t *testing.T) {
	files, err := filepath.Glob("../../compose/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(len(files), err)
	}
	drive := regexp.MustCompile(`["\s][A-Za-z]:/`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bad := drive.Find(text); bad != nil {
			t.Errorf("%s: %s is a drive to Compose v2: write {type: volume, source: …, target: …}", name, bad)
		}
	}
}
