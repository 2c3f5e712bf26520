//go:build e2e

package composition

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var (
	update = flag.Bool("update", false, "write Apollo's verdicts into testdata/pairs")
	each   = flag.Int("each", 8, "ask for each so-manieth pair; the verdicts are those of a pinned version")
)

// TestPairsAgainstApollo asks Apollo's composer for its verdicts anew. Where both compose, its planner makes the
// same plans from both supergraphs.
func TestPairsAgainstApollo(t *testing.T) {
	o := start(t)
	for _, file := range pairFiles(t) {
		all := pairs(t, file)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			for i, p := range all {
				if i%*each == 0 || *update {
					t.Run(p.name, func(t *testing.T) { p.against(t, o) })
				}
			}
		})
		if *update {
			write(t, file, all)
		}
	}
}

func (p *pair) against(t *testing.T, o oracle) {
	ours := supergraph.Compose(p.subgraphs, supergraph.Options{})
	theirs := o.apollo(t, p.subgraphs, ours.SDL)
	said := "composes\n" + theirs.API
	switch {
	case theirs.Crash != "":
		said = "crashes\n"
	case theirs.SDL == "":
		var codes []string
		for _, e := range theirs.Errors {
			codes = append(codes, e.Code)
		}
		slices.Sort(codes)
		said = strings.Join(slices.Compact(codes), "\n") + "\n"
	}
	if *update {
		p.apollo = said
	}
	if outline(t, said) != outline(t, p.apollo) {
		t.Errorf("Apollo's verdict is another now: %s", said)
	}
	if p.ours != "" || theirs.Crash != "" {
		return
	}
	if diff := difference(ours, theirs); diff != "" {
		t.Error(diff)
	}
}

// write puts the verdicts into the archive, each behind its subgraphs.
func write(t *testing.T, file string, all []*pair) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	for _, p := range all {
		for _, f := range a.Files {
			if strings.HasPrefix(f.Name, p.name+"/") {
				out = append(out, f)
			}
		}
		out = append(out, txtar.File{Name: p.name + ":apollo", Data: []byte(p.apollo)})
		if p.ours != "" {
			out = append(out, txtar.File{Name: p.name + ":ours", Data: []byte(p.ours)})
		}
	}
	a.Files = out
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}
