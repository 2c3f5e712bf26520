package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
)

// reading is what another clock showed.
type reading struct {
	whose string
	ahead time.Duration // how much it is ahead of this machine's; negative if it is behind
	err   error         // why it could not be read
}

// Bounds of clocks. An answer has whole seconds, and takes a while to come.
const (
	toleratedClock = 5 * time.Second
	brokenClock    = time.Minute // certificates begin five minutes early, tokens are not so patient
)

// clocks reads those of the identity service and of the mesh ingresses of peers, from the Date of an HTTP answer
// (RFC 9110 §6.6.1).
func (e *examination) clocks(ctx context.Context, id *identity.Source, peers []Peer) []reading {
	var all []reading
	if address, secure, err := member.Service(e.cfg.Vault); err == nil && address != "" {
		all = append(all, readClock(ctx, "the identity service at "+address, address, "/v1/roots.pem", secure))
	}
	for _, p := range peers {
		node, err := bgp.ParseNodeID(p.Node)
		if err != nil || p.Ingress == "" {
			continue
		}
		all = append(all, readClock(ctx, p.Node+" at "+p.Ingress, p.Ingress, "/", id.IngressTLS(node)))
		if len(all) == 5 { // as many agree or do not
			break
		}
	}
	return all
}

// readClock asks for anything: whatever the answer, it has the time.
func readClock(ctx context.Context, whose, address, path string, secure *tls.Config) reading {
	r := reading{whose: whose}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, nil)
	if err != nil {
		r.err = err
		return r
	}
	tr := &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	began := time.Now()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		r.err = err
		return r
	}
	took := time.Since(began)
	_ = resp.Body.Close()
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		r.err = fmt.Errorf("its answer has no date")
		return r
	}
	// Whole seconds: half of one more is the best guess.
	r.ahead = there.Add(500 * time.Millisecond).Sub(began.Add(took / 2))
	return r
}

// judgeClock compares this machine's clock with others, and with when the node's certificate was issued.
// unsynchronised says what the system knows of its clock; "" if nothing is wrong.
func judgeClock(readings []reading, issued, now time.Time, unsynchronised string) []Finding {
	const advice = "have the clock kept: apt-get install systemd-timesyncd or chrony, then timedatectl"
	var all []Finding
	if now.Before(issued) {
		all = append(all, Finding{checkClock, Wrong, "this machine",
			fmt.Sprintf("its clock says %s, which is before the node's certificate was issued (%s)",
				now.UTC().Format(time.RFC3339), issued.UTC().Format(time.RFC3339)), advice})
	}
	for _, r := range readings {
		apart := r.ahead.Abs()
		text := fmt.Sprintf("its clock and this machine's are %s apart", apart.Round(time.Second))
		direction := "this machine is behind"
		if r.ahead < 0 {
			direction = "this machine is ahead"
		}
		switch {
		case r.err != nil:
			all = append(all, Finding{checkClock, Unknown, r.whose, "its clock could not be read: " + r.err.Error(), ""})
		case apart >= brokenClock:
			all = append(all, Finding{checkClock, Wrong, r.whose, text + ": " + direction, advice + ", on both"})
		case apart >= toleratedClock:
			all = append(all, Finding{checkClock, Warning, r.whose, text + ": " + direction, advice + ", on both"})
		default:
			all = append(all, Finding{checkClock, OK, r.whose, "its clock agrees", ""})
		}
	}
	if unsynchronised != "" {
		all = append(all, Finding{checkClock, Warning, "this machine", unsynchronised, advice})
	}
	if len(all) == 0 {
		all = append(all, Finding{checkClock, OK, "this machine", "it is plausible; nobody was there to compare it with", ""})
	}
	return all
}
