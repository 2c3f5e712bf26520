package journal

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Who offers a name is kept over a restart, in the order of its books; a name that nobody is left of is forgotten.
func TestOffersOutliveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	node := func(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }
	since := time.Unix(1_700_000_000, 0).UTC()
	books := Offers{"books.acme.example", []Offerer{{node("a"), since, true}, {node("b"), since.Add(time.Hour), false}}}
	films := Offers{"films.acme.example", []Offerer{{node("a"), since, true}}}
	if err := j.SaveOffers(t.Context(), []Offers{films, books}); err != nil {
		t.Fatal(err)
	}
	books.Offerers[1].Agreed = true
	if err := j.SaveOffers(t.Context(), []Offers{books, {Service: films.Service}}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	all, err := j.Offers(t.Context())
	if err != nil || len(all) != 1 || all[0].Service != books.Service || !slices.Equal(all[0].Offerers, books.Offerers) {
		t.Errorf("%+v, %v", all, err)
	}
	if len(j.Damage()) > 0 {
		t.Errorf("damage: %v", j.Damage())
	}
}
