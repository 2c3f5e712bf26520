package graph

import (
	"os"
	"testing"
)

func TestTmp(t *testing.T) {
	b, _ := os.ReadFile("/tmp/fedoracle/t1.super")
	g, err := Read(string(b))
	if err != nil {
		t.Fatal(err)
	}
	for n, d := range g.Schema.Types {
		if !d.BuiltIn {
			t.Log(n, len(d.Fields))
		}
	}
	t.Log(g.Type("Book").FieldIn("rating", 1), g.Type("Media").In[1].Keys[0].Fields)
}
