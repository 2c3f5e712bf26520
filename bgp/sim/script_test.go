package sim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Each file of testdata is a scenario. It opens with what went wrong once, or could; then a command a line:
//
//	node A B… [gr=2m llgr=1h deferral=30s ingress=]   nodes of acme.example; x@bravo is one of bravo.example, and so are names
//	link A-B… [delay=5ms] [once]                       peers that reach each other; both dial, or the first only
//	peer A B [client] [max=10 over=close] [addpath=2] [hold=9s] [live=300ms] [subscribe=x,*.y | everything] [llgr=1h | llgr=never]
//	         [import=RULE,…] [export=RULE,…] [disabled | enabled]   what A knows of B; RULE is reject:NAME, accept:NAME, all, transit:NAME (accept with
//	    transit: true), path:A+*+B (reject), add:COMMUNITY, strip:COMMUNITY, pref:N, med:N or default:reject
//	    as:*.x (told in one)
//	    [role=provider|customer|peer] [names=*.x@bravo,…] [maxpref=N]
//	announce A NAME[*N] [region= pref= med= health= community=]      withdraw A NAME
//	run 1s      cut A-B [10ms]      mend A-B      crash A      restart A [fresh]      stall READER WRITER      unstall READER WRITER
//	drain A on|off      shutdown A TEXT      reset A B TEXT      refresh A B      remove A B TEXT      nexthop A B up|down [COST]
//	mark                                               counters of sent begin anew
//	expect A NAME none | via B | tiers B C | D | path B C | hop B | is stale | not stale | has COMMUNITY | lacks COMMUNITY | region R
//	count A N      state A B STATE      says A B TEXT (of its error, notice or hold-down)      peer-has A B KEY=N…      sent A B +N -N [refreshes]
//	withheld A NAME B TEXT      rejected A NAME TEXT (why a path of it is not told, or not taken)
//	always 10s 50ms COMMAND                            COMMAND holds all the time
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := script{t: t, n: New(1), before: map[[2]bgp.NodeID]speaker.Counters{}}
			story := 0
			for i, line := range strings.Split(string(text), "\n") {
				if words, comment := strings.CutPrefix(line, "#"); comment {
					story += len(words)
					continue
				}
				if strings.TrimSpace(line) == "" {
					continue
				}
				if story < 80 {
					t.Fatalf("%s does not say what could go wrong", file)
				}
				if err := s.do(strings.Fields(line)); err != nil {
					t.Errorf("%s:%d: %s: %v", file, i+1, line, err)
				}
			}
		})
	}
}

type script struct {
	t      *testing.T
	n      *Net
	before map[[2]bgp.NodeID]speaker.Counters
}

// do runs one command.
func (s *script) do(words []string) error {
	name, args := words[0], words[1:]
	commands := map[string]func([]string) error{
		"node": s.node, "link": s.link, "peer": s.peer, "announce": s.announce, "withdraw": s.withdraw, "run": s.run,
		"cut": s.cut, "mend": s.mend,
		"crash": s.crash, "restart": s.restart, "stall": s.stall(true), "unstall": s.stall(false), "drain": s.drain,
		"shutdown": s.shutdown, "reset": s.reset,
		"remove": s.remove, "refresh": s.refresh, "nexthop": s.nextHop, "mark": s.mark, "expect": s.expect,
		"count": s.count, "state": s.state, "says": s.says, "peer-has": s.peerHas,
		"sent": s.sent, "always": s.always, "withheld": s.withheld, "rejected": s.rejected,
	}
	command, ok := commands[name]
	if !ok {
		return errors.New("no such command")
	}
	return command(args)
}

// options splits words into plain ones and KEY=VALUE.
func options(words []string) (plain []string, with map[string]string) {
	with = map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			with[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	return plain, with
}

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil && text != "" {
		panic(err)
	}
	return d
}

func service(name string) bgp.Service {
	name, org, foreign := strings.Cut(name, "@")
	if !foreign {
		org = "acme"
	}
	return bgp.Service(name + "." + org + ".example")
}

func (s *script) node(args []string) error {
	names, with := options(args)
	for _, name := range names {
		s.n.Add(id(name), func(c *speaker.Config) {
			if gr, ok := with["gr"]; ok {
				c.GracefulRestart = duration(gr)
			}
			c.LongLivedStale, c.Deferral = duration(with["llgr"]), duration(with["deferral"])
		})
	}
	return nil
}

func (s *script) link(args []string) error {
	pairs, with := options(args)
	once := slices.Contains(pairs, "once")
	for _, p := range pairs {
		if p == "once" {
			continue
		}
		a, b, _ := strings.Cut(p, "-")
		for _, name := range []string{a, b} {
			if s.n.Node(id(name)) == nil {
				s.n.Add(id(name), nil)
			}
		}
		delay := 5 * time.Millisecond
		if with["delay"] != "" {
			delay = duration(with["delay"])
		}
		s.n.Link(id(a), id(b), delay)
		s.n.Peer(id(a), id(b), !once)
	}
	return nil
}

func rules(text string) *filter.Chain {
	if text == "" {
		return nil
	}
	c := &filter.Chain{}
	for i, rule := range strings.Split(text, ",") {
		what, of, _ := strings.Cut(rule, ":")
		t := filter.Term{Name: fmt.Sprint(i)}
		switch what {
		case "default":
			c.Default = filter.Reject
			continue
		case "as":
			c.Aggregates = append(c.Aggregates, string(service(of)))
			continue
		case "pref":
			n, _ := strconv.ParseUint(of, 10, 32)
			pref := uint32(n)
			t.Set.LocalPref = &pref
		case "reject":
			t.Match.Services, t.Action = []string{string(service(of))}, filter.Reject
		case "accept":
			t.Match.Services, t.Action = []string{string(service(of))}, filter.Accept
		case "all":
			t.Action = filter.Accept
		case "transit":
			yes := true
			t.Match.Services, t.Match.Transit, t.Action = []string{string(service(of))}, &yes, filter.Accept
		case "path":
			t.Match.Paths, t.Action = []string{strings.ReplaceAll(of, "+", " ")}, filter.Reject
		case "add", "strip":
			c, err := bgp.ParseCommunity(of)
			if err != nil {
				panic(err)
			}
			if t.Set.AddCommunities = []bgp.Community{c}; what == "strip" {
				t.Set = filter.Set{RemoveCommunities: []bgp.Community{c}}
			}
		case "med":
			n, _ := strconv.ParseUint(of, 10, 32)
			med := uint32(n)
			t.Set.MED = &med
		}
		c.Terms = append(c.Terms, t)
	}
	return c
}

func (s *script) peer(args []string) error {
	words, with := options(args)
	p := s.n.Node(id(words[0])).peers[id(words[1])]
	p.Node = id(words[1])
	for _, w := range words[2:] {
		switch w {
		case "client":
			p.Client = true
		case "nonclient":
			p.Client = false
		case "disabled", "enabled":
			p.Disabled = w == "disabled"
		case "everything":
			p.Subscribe = nil
		default:
			return fmt.Errorf("no such option: %s", w)
		}
	}
	for k, v := range with {
		switch k {
		case "max":
			p.MaxRoutes, _ = strconv.Atoi(v)
		case "over":
			p.OverLimit, _ = speaker.ParseOverLimit(v)
		case "addpath":
			n, _ := strconv.Atoi(v)
			p.AddPath = uint8(n)
		case "hold":
			p.HoldTime = duration(v)
		case "live":
			p.Liveness = duration(v)
		case "llgr":
			if p.LongLivedStale = -1; v != "never" {
				p.LongLivedStale = duration(v)
			}
		case "import":
			p.Import = rules(v)
		case "export":
			p.Export = rules(v)
		case "role":
			p.Role, _ = bgp.ParseRole(v)
		case "maxpref":
			n, _ := strconv.Atoi(v)
			p.MaxLocalPref = uint32(n)
		case "names":
			p.Namespaces = nil
			for _, name := range strings.Split(v, ",") {
				if name != "*" {
					name = string(service(name))
				}
				p.Namespaces = append(p.Namespaces, name)
			}
		case "subscribe":
			p.Subscribe = []bgp.Service{}
			for _, name := range strings.Split(v, ",") {
				p.Subscribe = append(p.Subscribe, service(name))
			}
		default:
			return fmt.Errorf("no such option: %s", k)
		}
	}
	s.n.SetPeer(id(words[0]), p)
	return nil
}

// numbered turns NAME*3 into NAME0, NAME1, NAME2.
func numbered(name string) []bgp.Service {
	base, times, many := strings.Cut(name, "*")
	if !many {
		return []bgp.Service{service(name)}
	}
	var all []bgp.Service
	n, _ := strconv.Atoi(times)
	for i := range n {
		all = append(all, service(fmt.Sprint(base, i)))
	}
	return all
}

func (s *script) announce(args []string) error {
	words, with := options(args)
	a := bgp.Attributes{Protocol: bgp.HTTP, Region: with["region"]}
	pref, _ := strconv.Atoi(with["pref"])
	med, _ := strconv.Atoi(with["med"])
	a.LocalPref, a.MED = uint32(pref), uint32(med)
	if with["health"] == "down" {
		a.Health = bgp.HealthDown
	}
	if c := with["community"]; c != "" {
		parsed, err := bgp.ParseCommunity(c)
		if err != nil {
			return err
		}
		a.Communities = []bgp.Community{parsed}
	}
	for _, svc := range numbered(words[1]) {
		s.n.Announce(id(words[0]), svc, a)
	}
	return nil
}

func (s *script) withdraw(args []string) error {
	for _, svc := range numbered(args[1]) {
		s.n.Withdraw(id(args[0]), svc)
	}
	return nil
}

func (s *script) run(args []string) error { s.n.Run(duration(args[0])); return nil }

func ends(pair string) (a, b bgp.NodeID) {
	x, y, _ := strings.Cut(pair, "-")
	return id(x), id(y)
}

func (s *script) cut(args []string) error {
	a, b := ends(args[0])
	noticed := time.Duration(0)
	if len(args) > 1 {
		noticed = duration(args[1])
	}
	s.n.Cut(a, b, noticed)
	return nil
}

func (s *script) mend(args []string) error { s.n.Mend(ends(args[0])); return nil }

func (s *script) crash(args []string) error { s.n.Crash(id(args[0])); return nil }

func (s *script) restart(args []string) error {
	s.n.Node(id(args[0])).fresh = len(args) > 1 && args[1] == "fresh"
	s.n.Restart(id(args[0]))
	return nil
}

func (s *script) stall(on bool) func([]string) error {
	return func(args []string) error { s.n.Stall(id(args[0]), id(args[1]), on); return nil }
}

func (s *script) drain(args []string) error {
	s.n.Do(id(args[0]), speaker.Drain{On: args[1] == "on"})
	return nil
}

func (s *script) shutdown(args []string) error {
	s.n.Do(id(args[0]), speaker.Shutdown{Text: strings.Join(args[1:], " ")})
	return nil
}

func (s *script) reset(args []string) error {
	s.n.Do(id(args[0]), speaker.PeerReset{Node: id(args[1]), Text: strings.Join(args[2:], " ")})
	return nil
}

func (s *script) refresh(args []string) error {
	s.n.Do(id(args[0]), speaker.PeerRefresh{Node: id(args[1])})
	return nil
}

func (s *script) remove(args []string) error {
	s.n.Do(id(args[0]), speaker.PeerRemoved{Node: id(args[1]), Text: strings.Join(args[2:], " ")})
	delete(s.n.Node(id(args[0])).peers, id(args[1]))
	return nil
}

func (s *script) nextHop(args []string) error {
	ev := speaker.NextHopChanged{Node: id(args[1]), Usable: args[2] == "up"}
	if len(args) > 3 {
		cost, _ := strconv.Atoi(args[3])
		ev.Cost = uint32(cost)
	}
	s.n.Do(id(args[0]), ev)
	return nil
}

func (s *script) mark([]string) error {
	for at, node := range s.n.nodes {
		for _, v := range node.sp.Peers() {
			s.before[[2]bgp.NodeID{at, v.Config.Node}] = v.Counters
		}
	}
	return nil
}

func (s *script) view(a, b string) speaker.PeerView {
	v, _ := s.n.Node(id(a)).sp.Peer(id(b))
	return v
}

func (s *script) always(args []string) error {
	for range duration(args[0]) / duration(args[1]) {
		s.n.Run(duration(args[1]))
		if err := s.do(args[2:]); err != nil {
			return fmt.Errorf("at %s: %w", s.n.Now.Format("15:04:05.000"), err)
		}
	}
	return nil
}

func (s *script) expect(args []string) error {
	sel, reached := s.n.Node(id(args[0])).Table[service(args[1])]
	kind, rest := args[2], args[3:]
	want := strings.Join(rest, " ")
	if kind == "none" {
		if reached {
			return fmt.Errorf("it is reached by %s", tiers(sel))
		}
		return nil
	}
	if !reached {
		return errors.New("it is not reached")
	}
	best := &sel.Tiers[0][0]
	var got string
	has := true
	switch kind {
	case "via":
		if got = word(best.Peer); best.Local {
			got = "self"
		}
	case "tiers":
		got = tiers(sel)
	case "path":
		names := []string{}
		for _, n := range best.Attrs.NodePath {
			names = append(names, word(n))
		}
		got = strings.Join(names, " ")
	case "hop":
		got = word(best.NextHop.Node)
	case "pref":
		got = fmt.Sprint(best.Attrs.EffectiveLocalPref())
	case "med":
		got = fmt.Sprint(best.Attrs.MED)
	case "region":
		got = best.Attrs.Region
	case "is", "not":
		got, has = want, best.Stale == (kind == "is")
	case "has", "lacks":
		c, err := bgp.ParseCommunity(want)
		if err != nil {
			return err
		}
		got, has = want, best.Attrs.HasCommunity(c) == (kind == "has")
	default:
		return errors.New("no such expectation")
	}
	if got != want || !has {
		return fmt.Errorf("it is reached by %s, %s", tiers(sel), got)
	}
	return nil
}

func (s *script) count(args []string) error {
	if got := len(s.n.Node(id(args[0])).Table); fmt.Sprint(got) != args[1] {
		return fmt.Errorf("it has %d services", got)
	}
	return nil
}

func (s *script) state(args []string) error {
	if v := s.view(args[0], args[1]); v.State.String() != args[2] {
		return fmt.Errorf("it is %s: %s", v.State, v.LastError)
	}
	return nil
}

func (s *script) says(args []string) error {
	v := s.view(args[0], args[1])
	got := fmt.Sprintf("error %s; notice %s; held for %s", v.LastError, v.Notice, v.HeldFor)
	if !strings.Contains(got, strings.Join(args[2:], " ")) {
		return errors.New(got)
	}
	return nil
}

func (s *script) peerHas(args []string) error {
	words, with := options(args)
	v := s.view(words[0], words[1])
	has := map[string]int{
		"received": v.Routes.Received, "stale": v.Routes.Stale, "blocked": v.Routes.Blocked, "rejected": v.Routes.Rejected,
		"advertised": v.Routes.Advertised,
		"sessions":   int(v.Counters.Sessions), "losses": v.Losses, "wants": len(v.Wants),
		"live-ms": int(v.Liveness.Milliseconds()), "pending": v.Pending,
		"held-s": max(0, int(v.HeldUntil.Sub(s.n.Now).Seconds())),
	}
	if v.State != fsm.Established {
		has["pending"] = 0
	}
	for k, want := range with {
		if got, ok := has[k]; !ok || fmt.Sprint(got) != want {
			return fmt.Errorf("%s is %d", k, got)
		}
	}
	return nil
}

func (s *script) sent(args []string) error {
	old, now := s.before[[2]bgp.NodeID{id(args[0]), id(args[1])}], s.view(args[0], args[1]).Counters
	got := fmt.Sprintf("+%d -%d", now.AnnouncedOut-old.AnnouncedOut, now.WithdrawnOut-old.WithdrawnOut)
	if got != strings.Join(args[2:], " ") || now.Sessions != old.Sessions {
		return fmt.Errorf("%s in %d sessions", got, now.Sessions-old.Sessions+1)
	}
	return nil
}

// withheld looks at why a node does not tell a peer of a service.
func (s *script) withheld(args []string) error {
	for _, e := range s.n.Node(id(args[0])).sp.Table().Exports(service(args[1])) {
		if e.Peer != id(args[2]) {
			continue
		}
		got := e.Why.String() + ", term " + e.Term
		if e.Told && e.As == "" || !strings.Contains(got, strings.Join(args[3:], " ")) {
			return fmt.Errorf("told %v: %s", e.Told, got)
		}
		return nil
	}
	return errors.New("the service is not known")
}

// rejected looks at why a node does not take a path to a service; a path that is taken is "accepted".
func (s *script) rejected(args []string) error {
	var got []string
	for _, c := range s.n.Node(id(args[0])).sp.Table().Explain(service(args[1])) {
		got = append(got, c.Reject.String())
	}
	if all := strings.Join(got, "; "); !strings.Contains(all, strings.Join(args[2:], " ")) {
		return fmt.Errorf("its paths: %q", all)
	}
	return nil
}

func tiers(sel rib.Selected) string {
	var all []string
	for _, tier := range sel.Tiers {
		var names []string
		for i := range tier {
			if tier[i].Local {
				names = append(names, "self")
			} else {
				names = append(names, word(tier[i].Peer))
			}
		}
		all = append(all, strings.Join(names, " "))
	}
	return strings.Join(all, " | ")
}
