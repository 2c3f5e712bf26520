package routing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/bgp/record"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/playback"
)

// replayOptions are the flags of catalyst replay.
type replayOptions struct {
	until        string
	steps, table bool
}

func (a *app) replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay RECORDING [RECORDING]", Short: "Play a node's recorded events again, or find where two recordings part",
		Long: "Play the events of a recording (a file, or the directory of all) again: the same events give the same " +
			"tables and the same messages, or the steps that do not\n" +
			"are named. With two recordings, tell where they part, and how their tables differ at the end. No node is " +
			"needed, and nothing is sent.\n\n" +
			"A node records when recording.enabled is set. Exit status 1 if a step, or one of the two recordings, is not " +
			"like the other.",
	}
	var o replayOptions
	cmd.Flags().StringVar(&o.until, "until", "",
		"stop after this step (a number), this time (RFC 3339) or this long after the beginning (such as 90s)")
	cmd.Flags().BoolVar(&o.steps, "steps", false, "print every event and what the node did")
	cmd.Flags().BoolVar(&o.table, "table", false, "print the routing table at the end")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return a.replay(args[0], &o)
		case 2:
			return a.compare(args[0], args[1], &o)
		}
		return console.Usage(fmt.Errorf("want one recording, or two to compare: %s", cmd.UseLine()))
	}
	return cmd
}

// stepView is a step as it is printed.
type stepView struct {
	Step    int       `json:"step"`
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Effects []string  `json:"effects"`
	Same    bool      `json:"same"`
}

func viewStep(s *record.Step) *stepView {
	return &stepView{s.N, s.At, s.EventText(), s.EffectTexts(), s.Same()}
}

func (v *stepView) print(w io.Writer) {
	fmt.Fprintf(w, "%d  %s  %s\n", v.Step, v.At.UTC().Format("15:04:05.000000"), v.Event)
	for _, e := range v.Effects {
		fmt.Fprintf(w, "      → %s\n", e)
	}
}

// replayView is the outcome of a replay.
type replayView struct {
	Recording string     `json:"recording"`
	Node      string     `json:"node"`
	From      time.Time  `json:"from"`
	To        time.Time  `json:"to"`
	Steps     int        `json:"steps"`
	Differ    int        `json:"differ"`
	First     *stepView  `json:"firstDifference,omitempty"`
	Rebuilt   bool       `json:"fromCheckpoint"`
	CutOff    bool       `json:"cutOff"`
	Services  int        `json:"services"`
	Paths     int        `json:"paths"`
	Table     []tableRow `json:"table,omitempty"`
}

// tableRow is a service at the end of a replay.
type tableRow struct {
	Service string   `json:"service"`
	Paths   []string `json:"paths"`
}

func (a *app) replay(name string, o *replayOptions) error {
	p, err := playback.Open(name, o.until)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	out := &replayView{Recording: name, Node: p.Speaker().Config().Self.String()}
	for {
		s, err := p.NextStep()
		if err != nil {
			return err
		}
		if s == nil {
			break
		}
		if o.steps {
			if err := a.printStep(viewStep(s)); err != nil {
				return err
			}
		}
		if !s.Same() {
			if out.Differ++; out.First == nil {
				out.First = viewStep(s)
			}
		}
	}
	out.From, out.To, out.Steps, out.Rebuilt, out.CutOff = p.First, p.Last, p.Steps, p.Rebuilt(), p.CutOff()
	c := p.Speaker().Table().Counts()
	out.Services, out.Paths = c.Services, c.Paths
	if o.table {
		out.Table = tableOf(p.Speaker())
	}
	if o.steps && a.Output == "json" {
		return outcome(out)
	}
	if err := a.Print(out, func(w io.Writer) { showReplay(w, out) }); err != nil {
		return err
	}
	return outcome(out)
}

// outcome is an error if the replay was not the same. After a checkpoint messages may come in another order, which is
// said and no failure.
func outcome(v *replayView) error {
	if v.Differ > 0 && !v.Rebuilt {
		return fmt.Errorf("%d of %d steps are not as recorded", v.Differ, v.Steps)
	}
	return nil
}

func (a *app) printStep(v *stepView) error {
	if a.Output == "json" {
		return json.NewEncoder(a.IO.Out).Encode(v)
	}
	v.print(a.IO.Out)
	return nil
}

func showReplay(w io.Writer, v *replayView) {
	console.Row(w, "node", v.Node)
	console.Row(w, "from", v.From.UTC().Format(time.RFC3339Nano))
	console.Row(w, "to", v.To.UTC().Format(time.RFC3339Nano))
	console.Row(w, "steps", v.Steps)
	switch {
	case v.Differ == 0:
		console.Row(w, "outcome", "every step did what it did then")
	case v.Rebuilt:
		console.Row(w, "outcome", fmt.Sprintf("%d steps did other than then; the recording begins with a checkpoint, after "+
			"which messages may be cut and ordered otherwise", v.Differ))
	default:
		console.Row(w, "outcome",
			fmt.Sprintf("%d steps did other than then, the first of them step %d", v.Differ, v.First.Step))
	}
	if v.CutOff {
		console.Row(w, "note", "the recording ends within an entry: the process was killed")
	}
	console.Row(w, "table", fmt.Sprintf("%d services over %d paths", v.Services, v.Paths))
	for _, r := range v.Table {
		for i, p := range r.Paths {
			name := r.Service
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "%s\t%s\n", name, p)
		}
	}
}

// tableOf is every service with its paths, best first.
func tableOf(sp *speaker.Speaker) []tableRow {
	all := []tableRow{}
	for from := uint32(0); ; {
		from = sp.Table().Scan(from, 1000, func(s rib.Selected) {
			r := tableRow{Service: string(s.Service)}
			for tier, paths := range s.Tiers {
				for i := range paths {
					r.Paths = append(r.Paths, pathLine(tier, &paths[i]))
				}
			}
			all = append(all, r)
		})
		if from == 0 {
			break
		}
	}
	slices.SortFunc(all, func(x, y tableRow) int { return strings.Compare(x.Service, y.Service) })
	return all
}

func pathLine(tier int, p *rib.Path) string {
	path := make([]string, 0, len(p.Attrs.NodePath))
	for _, n := range p.Attrs.NodePath {
		path = append(path, n.String())
	}
	line := fmt.Sprintf("%s, by %s", use(tier, p.Attrs.Health.String()), strings.Join(path, " → "))
	if p.Local {
		line = use(tier, p.Attrs.Health.String()) + ", this node's own"
	}
	if p.Stale {
		line += " (stale)"
	}
	return line
}

// compareView is where two recordings part.
type compareView struct {
	Same   bool       `json:"same"`
	Step   int        `json:"step,omitempty"`
	What   string     `json:"what"`
	First  *stepView  `json:"first,omitempty"`
	Second *stepView  `json:"second,omitempty"`
	Tables []tableRow `json:"tables,omitempty"` // what the first has is marked -, what the second has +
}

func (a *app) compare(first, second string, o *replayOptions) error {
	x, err := playback.Open(first, o.until)
	if err != nil {
		return err
	}
	defer func() { _ = x.Close() }()
	y, err := playback.Open(second, o.until)
	if err != nil {
		return err
	}
	defer func() { _ = y.Close() }()
	v, err := part(x, y)
	if err != nil {
		return err
	}
	if err := errors.Join(rest(x), rest(y)); err != nil {
		return err
	}
	v.Tables = tableDiff(tableOf(x.Speaker()), tableOf(y.Speaker()))
	if err := a.Print(v, func(w io.Writer) { showCompare(w, v) }); err != nil {
		return err
	}
	if !v.Same {
		return fmt.Errorf("the recordings part at step %d", v.Step)
	}
	return nil
}

// part plays two recordings side by side up to the first difference.
func part(x, y *playback.Playing) (*compareView, error) {
	for {
		s, err1 := x.NextStep()
		t, err2 := y.NextStep()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		v := &compareView{}
		switch {
		case s == nil && t == nil:
			v.Same, v.What = true, fmt.Sprintf("all %d steps are the same", x.Steps)
			return v, nil
		case s == nil:
			v.What = fmt.Sprintf("%s ends, the other goes on", x.Name)
		case t == nil:
			v.What = fmt.Sprintf("%s ends, the other goes on", y.Name)
		case s.EventText() != t.EventText():
			v.What = "another event came"
		case !slices.Equal(s.EffectTexts(), t.EffectTexts()):
			v.What = "the same event had another effect"
		default:
			continue
		}
		if s != nil {
			v.First, v.Step = viewStep(s), s.N
		}
		if t != nil {
			v.Second, v.Step = viewStep(t), t.N
		}
		return v, nil
	}
}

// rest plays to the end.
func rest(p *playback.Playing) error {
	for {
		if s, err := p.NextStep(); s == nil || err != nil {
			return err
		}
	}
}

// tableDiff returns what is only in one of two sorted tables, or other there.
func tableDiff(a, b []tableRow) []tableRow {
	var out []tableRow
	for len(a) > 0 || len(b) > 0 {
		var r tableRow
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Service < b[0].Service:
			r, a = marked(a[0], "-"), a[1:]
		case len(a) == 0 || b[0].Service < a[0].Service:
			r, b = marked(b[0], "+"), b[1:]
		default:
			if !slices.Equal(a[0].Paths, b[0].Paths) {
				r = marked(a[0], "-")
				r.Paths = append(r.Paths, marked(b[0], "+").Paths...)
			}
			a, b = a[1:], b[1:]
		}
		if r.Service != "" {
			out = append(out, r)
		}
	}
	return out
}

func marked(r tableRow, mark string) tableRow {
	out := tableRow{Service: r.Service}
	for _, p := range r.Paths {
		out.Paths = append(out.Paths, mark+" "+p)
	}
	return out
}

func showCompare(w io.Writer, v *compareView) {
	if v.Same {
		fmt.Fprintln(w, "The recordings do not part: "+v.What+".")
	} else {
		fmt.Fprintf(w, "The recordings part at step %d: %s.\n", v.Step, v.What)
	}
	printSide(w, "first", v.First)
	printSide(w, "second", v.Second)
	if len(v.Tables) > 0 {
		fmt.Fprintln(w, "\nTheir tables at the end differ in:")
	}
	for _, r := range v.Tables {
		fmt.Fprintln(w, r.Service)
		for _, p := range r.Paths {
			fmt.Fprintln(w, "  "+p)
		}
	}
}

func printSide(w io.Writer, name string, s *stepView) {
	if s != nil {
		fmt.Fprintf(w, "\n%s:\n", name)
		s.print(w)
	}
}
