package filter

import (
	"strings"
	"testing"
)

// Whoever mistypes a rule is told which term and key it is, and what would be one; no word of Go's is in it.
func TestParseNamesTheTermAndTheKey(t *testing.T) {
	for text, want := range map[string]string{
		`{"term": []}`:             `there is no key "term": want terms, default, aggregates`,
		`{"terms": {}}`:            `terms: a object does not fit here`,
		`{"default": "drop"}`:      `action "drop": want accept, reject or next`,
		`{"terms": []} {}`:         `something follows the rules`,
		`{"terms": [{"name": 7}]}`: `term 1 (): name: a number does not fit here`,
		`{"terms": [{"name": "a"}, {"match": {"protocls": []}, "name": "gold"}]}`: `term 2 (gold): match: there is no key ` +
			`"protocls": want services, orgs, origins, protocols, communities, tags, regions, maxHops, paths, originStates, transit`,
		`{"terms": [{"name": "gold", "action": "acept"}]}`:      `term 1 (gold): action "acept": want accept, reject or next`,
		`{"terms": [{"name": "gold", "sett": {}}]}`:             `term 1 (gold): there is no key "sett": want name, match, set, action`,
		`{"terms": [{"name": "gold", "set": {"med": "high"}}]}`: `term 1 (gold): set: med: a string does not fit here`,
		`{"terms": [{"name": "gold", "set": {"localPreference": 7}}]}`: `term 1 (gold): set: there is no key ` +
			`"localPreference": want localPref, med, weight, addCommunities, removeCommunities, addTags`,
		`{"terms": [{"name": "gold", "match": {"protocols": ["ftp"]}}]}`: `term 1 (gold): match: protocol "ftp": want tcp`,
		`{"terms": [{}]}`: `term 1 (): name: want one that no other term has`,
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "json") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	c, err := Parse([]byte(`{"terms": [{"name": "a", "match": {"maxHops": 2}, "set": {"med": 7}, "action": "accept"},
		{"name": "b", "match": null}], "default": "reject"}`))
	if err != nil || len(c.Terms) != 2 || c.Terms[0].Match.MaxHops != 2 || *c.Terms[0].Set.MED != 7 ||
		c.Terms[0].Action != Accept || c.Default != Reject {
		t.Errorf("%+v, %v", c, err)
	}
}
