package policy

import "testing"

func TestReachable(t *testing.T) {
	for name, tt := range map[string]struct {
		policies string
		want     bool
	}{
		"everything is permitted":         {`permit (principal, action, resource);`, true},
		"nothing is":                      {`forbid (principal, action, resource);`, false},
		"this service":                    {`permit (principal, action, resource == CATALYST::Service::"books.acme.example");`, true},
		"another":                         {`permit (principal, action, resource == CATALYST::Service::"films.acme.example");`, false},
		"its organisation":                {`permit (principal, action, resource in CATALYST::Organisation::"acme.example");`, true},
		"another organisation":            {`permit (principal, action, resource in CATALYST::Organisation::"bravo.example");`, false},
		"other nodes alone":               {`permit (principal is CATALYST::NODE, action, resource);`, false},
		"connections alone":               {`permit (principal, action == CATALYST::Action::"CONNECT", resource);`, false},
		"users, on a condition":           {`permit (principal is CATALYST::USER, action == CATALYST::Action::"REQUEST", resource) when { context.method == "GET" };`, true},
		"a condition that may not forbid": {`permit (principal, action, resource); forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "GET" };`, true},
	} {
		snap, err := Compile(Source{Policies: []Document{{"a.cedar", tt.policies}}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := snap.Reachable("books.acme.example", "acme.example"); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
		// Where nobody can reach it, no call of this node's own applications is let through.
		call := Call{Service: "books.acme.example", Organisation: "acme.example", Method: "GET", Path: "/"}
		if d := snap.Decide(call.Request()); d.Allow && !tt.want {
			t.Errorf("%s: it cannot be reached, and a call is let through by %v", name, d.Policies)
		}
	}
}
