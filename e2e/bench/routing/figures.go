package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figures are what one scenario showed of one router, in rows.
type figures struct {
	name string
	base int // RSS in bytes: empty
	rows []row
}

// row is one figure: as text, and as what ratios are made of, less being better; nothing for none.
type row struct {
	name, text string
	value      float64
}

const nothing = -1

func (f *figures) add(name, text string, value float64) {
	f.rows = append(f.rows, row{name, text, value})
}

func ratioOf(d time.Duration) float64 { return float64(d) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func (f *figures) percentiles(name string, took []time.Duration) {
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		d := took[len(took)*p/100]
		f.add(fmt.Sprintf("%s, p%d", name, p), ms(d), ratioOf(d))
	}
}

func (f *figures) spread(name string, at spread) {
	f.add(name+", first", ms(at.First), ratioOf(at.First))
	f.add(name+", 99 %", ms(at.Most), ratioOf(at.Most))
	f.add(name+", all", ms(at.All), ratioOf(at.All))
}

func (f *figures) row(name string) (row, bool) {
	i := slices.IndexFunc(f.rows, func(r row) bool { return r.name == name })
	if i < 0 {
		return row{}, false
	}
	return f.rows[i], true
}

// printTable writes a column for each router, and behind a rival's figure how many times the first router's it is.
func printTable(out io.Writer, title string, all []*figures) error {
	fmt.Fprintf(out, "\n%s\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for i, f := range all {
		fmt.Fprintf(w, "%s\t", f.name)
		if i > 0 {
			fmt.Fprint(w, "×\t")
		}
	}
	fmt.Fprintln(w)
	var names []string
	for _, f := range all {
		for _, r := range f.rows {
			if !slices.Contains(names, r.name) {
				names = append(names, r.name)
			}
		}
	}
	for _, name := range names {
		fmt.Fprintf(w, "%s\t", name)
		ours, _ := all[0].row(name)
		for i, f := range all {
			r, ok := f.row(name)
			if !ok {
				r = row{text: "–", value: nothing}
			}
			fmt.Fprintf(w, "%s\t", r.text)
			switch {
			case i == 0:
			case ours.value > 0 && r.value > 0:
				fmt.Fprintf(w, "%.2g\t", r.value/ours.value)
			default:
				fmt.Fprint(w, "\t")
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
