package console

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// WouldHit says what of other organisations an order would hit, before it is carried out: calls of a service, or of an
// organisation. A node that does not tell holds nothing up.
func (a *App) WouldHit(ctx context.Context, org, service string) {
	resp, err := client.GetLedger(ctx, a.Client(), org, service)
	if err != nil {
		fmt.Fprintf(a.IO.Err, "What this hits is not known: %v\n", err)
		return
	}
	for _, x := range resp.Ledger.Lines {
		if x.May || recent(x.Last) {
			fmt.Fprintf(a.IO.Err, "This hits %s\n", used(x))
		}
	}
}

// recent tells whether a time is within the last day.
func recent(stamp string) bool {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	return err == nil && time.Since(t) < 24*time.Hour
}

// used says who may call a service, and when it last did.
func used(x *client.GetLedgerLedgerLinesLedgerLine) string {
	text := []string{fmt.Sprintf("%s, which may call %s", x.Node, x.Service)}
	if !x.May {
		text[0] = fmt.Sprintf("%s, which could call %s until %s", x.Node, x.Service, x.Until)
	}
	if x.Last == "" {
		return strings.Join(append(text, "and never did"), " ")
	}
	return strings.Join(append(text, fmt.Sprintf("and did %s times, last %s ago", x.Calls, Since(x.Last))), " ")
}
