package doctor

import (
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
)

// judgeValidities judges how long certificates are valid.
func judgeValidities(dir string, all []identity.Validity, now time.Time) []Finding {
	var out []Finding
	for _, v := range all {
		what := map[string]string{identity.OfSVID: "the node's certificate", identity.OfCA: "the CA of " + string(v.Org),
			identity.OfRoots: "the roots of " + string(v.Org)}[v.Of]
		f := Finding{checkCertificates, OK, dir, fmt.Sprintf("%s: until %s", what, v.Until.UTC().Format(time.RFC3339)), ""}
		switch warning := v.Warning(now); {
		case v.Over(now):
			f.State, f.What = Wrong, what+": it ended at "+v.Until.UTC().Format(time.RFC3339)
			f.Advice = advised(v)
		case now.Before(v.From):
			f.State, f.What = Wrong, what+": it is not valid before "+v.From.UTC().Format(time.RFC3339)
			f.Advice = "is this machine's clock right?"
		case warning != "":
			f.State, f.What, f.Advice = Warning, fmt.Sprintf("%s: it ends soon, at %s", what,
				v.Until.UTC().Format(time.RFC3339)), advised(v)
		}
		out = append(out, f)
	}
	return out
}

func advised(v identity.Validity) string {
	switch v.Of {
	case identity.OfSVID:
		return "a node that joined renews by itself: is the identity service reached? One whose bundle was issued by hand: " +
			"catalyst org issue-node, into the same directory"
	case identity.OfCA:
		return "catalyst org rotate-ca"
	}
	return "get its newer roots: catalyst peering bundle, or a newer file of that organisation"
}
