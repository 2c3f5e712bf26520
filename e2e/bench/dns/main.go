// Command dns measures how many questions a second a node answers over DNS, and how soon, against CoreDNS with its
// plugin file, in turns in one run: 1,000 names, questions for one of them at random, each asker with one question
// under
// way.
//
//	dns -catalyst bin/catalyst -coredns coredns
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

const org = "acme.example"

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	catalyst := flag.String("catalyst", "bin/catalyst", "program")
	coredns := flag.String("coredns", "", "CoreDNS with its plugin file; empty for none")
	names := flag.Int("names", 1000, "how many names there are")
	askers := flag.Int("askers", 16, "how many ask at once")
	rounds := flag.Int("rounds", 5, "turns of each")
	each := flag.Duration("for", 2*time.Second, "how long a turn takes")
	flag.Parse()
	ours, end, err := node(ctx, *catalyst, *names)
	if err != nil {
		return err
	}
	defer end()
	servers := []server{{"Catalyst", ours}}
	if *coredns != "" {
		at, end, err := rival(ctx, *coredns, *names)
		if err != nil {
			return err
		}
		defer end()
		servers = append(servers, server{"CoreDNS file", at})
	}
	results := map[string][]result{}
	for range *rounds {
		for _, s := range servers {
			r, err := ask(ctx, s.address, *names, *askers, *each)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			results[s.name] = append(results[s.name], r)
		}
	}
	fmt.Printf("%-14s %12s %10s %10s   (%d names, %d askers, median of %d turns)\n", "", "answers/s", "p50", "p99",
		*names, *askers,
		*rounds)
	for _, s := range servers {
		m := median(results[s.name])
		fmt.Printf("%-14s %12.0f %10s %10s\n", s.name, m.rate, m.p50, m.p99)
	}
	if len(servers) == 2 {
		a, b := median(results[servers[0].name]), median(results[servers[1].name])
		fmt.Printf("ours ÷ theirs  %12.2f %10.2f %10.2f\n", a.rate/b.rate, float64(a.p50)/float64(b.p50),
			float64(a.p99)/float64(b.p99))
	}
	return nil
}

type server struct{ name, address string }

func nameOf(i int) string { return fmt.Sprintf("service-%d.%s", i, org) }

// free finds an address of loopback that nobody has, for UDP and TCP.
func free() (string, error) {
	for range 100 {
		at := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000)) //nolint:gosec // no secret
		u, err := net.ListenPacket("udp", at)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", at)
		_ = u.Close()
		if err == nil {
			return at, l.Close()
		}
	}
	return "", errors.New("no free port")
}

// node starts a node that answers for so many services.
func node(ctx context.Context, binary string, names int) (string, func(), error) {
	at, err := free()
	if err != nil {
		return "", nil, err
	}
	l, err := lab.New(ctx, binary, org)
	if err != nil {
		return "", nil, err
	}
	end := func() { _ = l.Close() }
	n, err := l.Add(ctx, "n", "--dns", at, "--log-level", "info")
	if err != nil {
		return "", end, err
	}
	var site strings.Builder
	site.WriteString("services:\n")
	for i := range names {
		fmt.Fprintf(&site, "  - {service: service-%d, address: 127.0.0.1:9}\n", i)
	}
	file := filepath.Join(l.Dir, "site.yaml")
	if err := os.WriteFile(file, []byte(site.String()), 0o600); err != nil {
		return "", end, err
	}
	if _, err := n.CLI(ctx, "apply", "-f", file); err != nil {
		return "", end, err
	}
	return at, end, ready(ctx, at, names)
}

// rival starts CoreDNS over a zone file with the same names.
func rival(ctx context.Context, binary string, names int) (string, func(), error) {
	at, err := free()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "bench-dns")
	if err != nil {
		return "", nil, err
	}
	var zone strings.Builder
	fmt.Fprintf(&zone, "$ORIGIN %s.\n@ 5 IN SOA ns hostmaster 1 3600 600 86400 5\n@ 5 IN NS ns\nns 5 IN A 127.0.0.1\n",
		org)
	for i := range names {
		fmt.Fprintf(&zone, "service-%d 30 IN A 127.0.0.1\n", i)
	}
	host, port, _ := net.SplitHostPort(at)
	conf := fmt.Sprintf("%s:%s {\n\tbind %s\n\tfile %s\n}\n", org, port, host, filepath.Join(dir, "zone"))
	err = errors.Join(os.WriteFile(filepath.Join(dir, "zone"), []byte(zone.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "Corefile"), []byte(conf), 0o600))
	cmd := exec.CommandContext(ctx, binary, "-conf", filepath.Join(dir, "Corefile"), "-quiet")
	cmd.Stderr = os.Stderr
	end := func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		_ = os.RemoveAll(dir)
	}
	if err = errors.Join(err, cmd.Start()); err != nil {
		return "", end, err
	}
	return at, end, ready(ctx, at, names)
}

// ready waits until the last name is answered.
func ready(ctx context.Context, at string, names int) error {
	return lab.Eventually(ctx, "answers at "+at, func(ctx context.Context) error {
		m := new(dns.Msg).SetQuestion(dns.Fqdn(nameOf(names-1)), dns.TypeA)
		out, err := dns.ExchangeContext(ctx, m, at)
		if err == nil && len(out.Answer) == 0 {
			err = errors.New(dns.RcodeToString[out.Rcode])
		}
		return err
	})
}

// result is what came of one turn.
type result struct {
	rate     float64 // answers a second
	p50, p99 time.Duration
}

func median(all []result) result {
	all = slices.SortedFunc(slices.Values(all), func(a, b result) int { return cmp.Compare(a.rate, b.rate) })
	return all[len(all)/2]
}

// ask has so many ask for a time. An answer that is missing, late by a second or without its record is an error.
func ask(ctx context.Context, at string, names, askers int, how time.Duration) (result, error) {
	var mu sync.Mutex
	var took []time.Duration
	var errs []error
	var all sync.WaitGroup
	began := time.Now()
	for range askers {
		all.Go(func() {
			mine, err := asker(ctx, at, names, began.Add(how))
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, mine...), append(errs, err)
		})
	}
	all.Wait()
	passed := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return result{}, err
	}
	slices.Sort(took)
	at99 := took[len(took)*99/100]
	return result{float64(len(took)) / passed.Seconds(), took[len(took)/2].Round(time.Microsecond),
		at99.Round(time.Microsecond)}, nil
}

// asker asks one question after the other. Questions are packed beforehand, and answers are looked at without being
// unpacked: the driver shares the processors with whom it measures.
func asker(ctx context.Context, at string, names int, until time.Time) ([]time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	questions := make([][]byte, names)
	for i := range questions {
		m := new(dns.Msg).SetQuestion(dns.Fqdn(nameOf(i)), dns.TypeA)
		m.SetEdns0(1232, false)
		if questions[i], err = m.Pack(); err != nil {
			return nil, err
		}
	}
	var took []time.Duration
	buf := make([]byte, 1500)
	for {
		began := time.Now()
		if began.After(until) {
			return took, nil
		}
		q := questions[rand.IntN(names)] //nolint:gosec // no secret
		if err := conn.SetDeadline(began.Add(time.Second)); err != nil {
			return nil, err
		}
		if _, err := conn.Write(q); err != nil {
			return nil, err
		}
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		// The header (RFC 1035 §4.1.1): the id of the question, no error, and one answer at least.
		if n < 12 || buf[0] != q[0] || buf[1] != q[1] || buf[3]&0xf != 0 || buf[7] == 0 {
			return nil, fmt.Errorf("a wrong answer of %d bytes: % x", n, buf[:min(n, 12)])
		}
		took = append(took, time.Since(began))
	}
}
