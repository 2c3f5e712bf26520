package supergraph

import (
	"fmt"
	"strconv"
	"strings"
)

// names checks the subgraphs' names.
func names(in []Subgraph) []Error {
	var errs []Error
	if len(in) == 0 {
		errs = append(errs, Error{Code: NoQueries, Message: "there are no subgraphs to compose"})
	}
	seen := map[string]bool{}
	for _, s := range in {
		switch {
		case s.Name == "" || s.Name == "_":
			errs = append(errs, Error{
				Code:      InvalidSubgraphName,
				Message:   fmt.Sprintf("invalid name %q for a subgraph: it must be neither empty nor a single underscore", s.Name),
				Subgraphs: []string{s.Name},
			})
		case seen[s.Name]:
			errs = append(errs, Error{
				Code:      InvalidSubgraphName,
				Message:   fmt.Sprintf("there are two subgraphs of the name %q", s.Name),
				Subgraphs: []string{s.Name},
			})
		}
		seen[s.Name] = true
	}
	return errs
}

// enums gives every subgraph its value in the join__Graph enum: the name in capitals, with what GraphQL does not allow
// replaced, and numbered where two would be the same.
func enums(subs []*subgraph) {
	count := map[string]int{}
	for _, s := range subs {
		s.enum = enumName(s.name)
		count[s.enum]++
	}
	next := map[string]int{}
	for _, s := range subs {
		if base := s.enum; count[base] > 1 {
			next[base]++
			s.enum = base + "_" + strconv.Itoa(next[base])
		}
	}
}

func enumName(name string) string {
	var b strings.Builder
	for _, r := range name {
		if isNameRune(r) {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	out := strings.ToUpper(b.String())
	if out == "" || out[0] >= '0' && out[0] <= '9' {
		out = "_" + out
	}
	if last := out[len(out)-1]; last >= '0' && last <= '9' && strings.Contains(out, "_") && endsInNumber(out) {
		out += "_" // must not look like one of the numbered
	}
	return out
}

func endsInNumber(s string) bool {
	i := strings.LastIndexByte(s, '_')
	_, err := strconv.Atoi(s[i+1:])
	return err == nil
}
