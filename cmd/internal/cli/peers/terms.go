package peers

import (
	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// termList is one of the lists of names that terms of a peering consist of, and the option that gives it.
type termList struct {
	flag, usage string
	names       *[]string
}

// termLists are all lists of names in terms.
func termLists(t *client.TermsInput) []termList {
	return []termList{
		{"export", "a service that it is offered, *.NAME for all below NAME; as often as needed; none for none (default " +
			"none)", &t.Offer},
		{"import", "a name that is taken of it, likewise; none for none (default *.ITS-NAME)", &t.Take},
		{"aggregate", "*.NAME, of what is exported, that it is told of in the place of each service below it, likewise " +
			"(default none)", &t.Aggregate},
		{"tokens", "a service for which tokens of its issuer are believed here (policy.issuers), likewise (default none)",
			&t.Tokens},
	}
}

// termsFlags are the options for what one side wants.
type termsFlags struct{ client.TermsInput }

func (t *termsFlags) add(f *pflag.FlagSet) {
	for _, l := range termLists(&t.TermsInput) {
		f.StringSliceVar(l.names, l.flag, nil, l.usage)
	}
	f.StringVar(&t.Role, "role", "", "what it is to this organisation: customer, provider or peer (RFC 9234)")
	f.IntVar(&t.MaxRoutes, "max-routes", 0, "routes that it may announce (default 1000)")
}

// given are the terms towards an organisation.
func (t *termsFlags) given(org string) *client.TermsInput {
	in := t.TermsInput
	if len(in.Take) == 0 {
		in.Take = []string{"*." + org}
	}
	for _, l := range termLists(&in) {
		*l.names = orNone(*l.names)
	}
	return &in
}

// over are the terms that there were, with what the options change of them.
func (t *termsFlags) over(f *pflag.FlagSet, was *client.TermsInput, org string) *client.TermsInput {
	in, before := t.given(org), termLists(was)
	for i, l := range termLists(in) {
		console.Keep(f, l.flag, l.names, *before[i].names)
	}
	console.Keep(f, "role", &in.Role, was.Role)
	console.Keep(f, "max-routes", &in.MaxRoutes, was.MaxRoutes)
	return in
}

// orNone are the names of a list, in which none alone stands for none.
func orNone(list []string) []string {
	if len(list) == 1 && list[0] == "none" {
		return []string{}
	}
	return append([]string{}, list...)
}

// termsAsSet are terms that a node has, in the form in which they are set.
func termsAsSet(t *client.TermsFields) *client.TermsInput {
	in := client.TermsInput(*t)
	return &in
}
