package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/rulefile"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// manifest is a file of peers and services, as catalyst apply reads it and catalyst config export writes it.
type manifest struct {
	Label    string                `json:"label,omitempty"`
	Peers    []manifestPeer        `json:"peers,omitempty"`
	Services []client.ServiceInput `json:"services,omitempty"`
	Peerings []client.PeeringInput `json:"peerings,omitempty"`
}

// manifestPeer is a peer whose rules stand in the file itself.
type manifestPeer struct {
	client.PeerInput
	Import json.RawMessage `json:"import,omitempty"`
	Export json.RawMessage `json:"export,omitempty"`
}

func (a *app) applyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make peers and services what files say, and leave the rest alone",
		Args:  console.ExactArgs(0, "no arguments but -f FILE"),
		Example: "  catalyst apply -f site.yaml --dry-run\n  catalyst apply -f site.yaml --prune\n  catalyst config " +
			"export > site.yaml",
		Long: "Make peers and services what files say. What is so already is left alone, so that applying twice changes " +
			"nothing; sessions are not reset.\n\n" +
			"A file has the keys label, peers, services and peerings; their fields are those of the operator API (catalyst " +
			"config export shows them), and a peer's\n" +
			"import and export hold its rules. Everything is checked before anything is changed.\n\n" +
			"With --prune, peers, services and peerings that carry the file's label and are not in the files are removed.",
	}
	files := cmd.Flags().StringArrayP("file", "f", nil, "YAML or JSON file, - for standard input; as often as needed")
	dryRun := cmd.Flags().Bool("dry-run", false, "print what would change, and change nothing")
	prune := cmd.Flags().Bool("prune", false, "remove what has the label and is not in the files")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(*files) == 0 {
			return console.Usage(errors.New("want -f FILE, or -f - for standard input"))
		}
		in := client.ApplyInput{
			Prune:    *prune,
			DryRun:   *dryRun,
			Peers:    []*client.PeerInput{},
			Services: []*client.ServiceInput{},
			Peerings: []*client.PeeringInput{},
		}
		for _, path := range *files {
			if err := a.addManifest(&in, path); err != nil {
				return console.Usage(fmt.Errorf("%s: %w", path, err))
			}
		}
		if *prune && in.Label == "" {
			return console.Usage(errors.New("--prune: the files have no label: give them one (label: NAME), so that only what " +
				"they made is removed"))
		}
		resp, err := client.Apply(cmd.Context(), a.Client(), &in)
		if err != nil {
			return err
		}
		return a.Print(resp.Apply, func(w io.Writer) { showApplied(w, resp.Apply, *dryRun) })
	}
	return cmd
}

// addManifest adds what a file says to in.
func (a *app) addManifest(in *client.ApplyInput, path string) error {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(a.IO.In)
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return err
	}
	all, err := readManifests(raw)
	if err != nil {
		return err
	}
	for i := range all {
		if err := all[i].addTo(in); err != nil {
			return err
		}
	}
	return nil
}

func (m *manifest) addTo(in *client.ApplyInput) error {
	if m.Label != "" {
		if in.Label != "" && in.Label != m.Label {
			return fmt.Errorf("label: %q: another file or document has %q: apply them one by one", m.Label, in.Label)
		}
		in.Label = m.Label
	}
	for i := range m.Peers {
		p := &m.Peers[i]
		p.PeerInput.Import, p.PeerInput.Export = rulefile.Chain(p.Import), rulefile.Chain(p.Export)
		p.Addresses = append([]string{}, p.Addresses...)
		in.Peers = append(in.Peers, &p.PeerInput)
	}
	for i := range m.Services {
		s := &m.Services[i]
		s.Tags, s.Communities = append([]string{}, s.Tags...), append([]string{}, s.Communities...)
		s.Addresses = append([]string{}, s.Addresses...)
		if s.Protocol == "" {
			s.Protocol = "http"
		}
		in.Services = append(in.Services, s)
	}
	for i := range m.Peerings {
		p := &m.Peerings[i]
		if p.Terms == nil {
			p.Terms = &client.TermsInput{}
		}
		for _, l := range termLists(p.Terms) {
			*l.names = append([]string{}, *l.names...)
		}
		p.Nodes = append([]*client.PeeringNodeInput{}, p.Nodes...)
		for _, n := range p.Nodes {
			n.Addresses = append([]string{}, n.Addresses...)
		}
		in.Peerings = append(in.Peerings, p)
	}
	return nil
}

// readManifests reads the documents of a file strictly: an unknown key is an error that names it.
func readManifests(raw []byte) ([]manifest, error) {
	docs, err := config.Documents(raw)
	if err != nil {
		return nil, err
	}
	all := make([]manifest, len(docs))
	for i, doc := range docs {
		if doc == nil {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&all[i]); err != nil {
			return nil, inWords(err)
		}
	}
	return all, nil
}

// inWords says what is wrong with a value by its key, without the names of Go's types.
func inWords(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: a %s does not fit here", wrong.Field, wrong.Value)
	}
	if key, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("there is no key %s", key)
	}
	return err
}

func showApplied(w io.Writer, all []*client.ApplyApplyApplied, dryRun bool) {
	console.Row(w, "KIND", "NAME", "ACTION", "CHANGES")
	todo := 0
	for i := range all {
		x := all[i]
		if x.Action != "unchanged" {
			todo++
		}
		var changes []string
		for _, c := range x.Changes {
			changes = append(changes, fmt.Sprintf("%s: %s → %s", c.Field, orNothing(c.From), orNothing(c.To)))
		}
		console.Row(w, x.Kind, x.Name, x.Action, strings.Join(changes, "; "))
	}
	if dryRun {
		fmt.Fprintf(w, "Nothing was changed: %d of %d would be.\n", todo, len(all))
	}
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print this node's peers and services as catalyst apply reads them",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	label := cmd.Flags().String("label", "", "only what carries this label")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		peers, err := client.ListPeers(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		services, err := client.ListServices(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		out := map[string]any{}
		if *label != "" {
			out["label"] = *label
		}
		ofPeerings, err := a.exportPeerings(cmd.Context(), *label, out)
		if err != nil {
			return err
		}
		for _, p := range peers.Peers {
			if *label != "" && p.Config.Label != *label || ofPeerings[p.Node] {
				continue
			}
			fields, err := setFields(p.Config, "label")
			if err != nil {
				return err
			}
			fields["node"] = p.Node
			for _, key := range []string{"import", "export"} {
				if text, ok := fields[key].(string); ok {
					var rules any
					if err := json.Unmarshal([]byte(text), &rules); err != nil {
						return fmt.Errorf("%s of %s: %w", key, p.Node, err)
					}
					fields[key] = rulefile.Filled(rules)
				}
			}
			out["peers"] = append(entries(out["peers"]), fields)
		}
		for _, x := range services.Services {
			s := &x.ServiceFields
			if *label != "" && s.Label != *label || s.FoundBy != "" {
				continue // what was found is found again
			}
			fields, err := setFields(s, "label", "health", "healthSince", "healthError", "healthHeldUntil", "workloads")
			if err != nil {
				return err
			}
			if len(s.Addresses) > 1 {
				delete(fields, "address") // the first of them
			} else {
				delete(fields, "addresses")
			}
			out["services"] = append(entries(out["services"]), fields)
		}
		if a.Output == "table" {
			a.Output = "yaml"
		}
		return a.Print(out, nil)
	}
	return cmd
}

// exportPeerings adds the peerings, and returns the nodes that are peers because of one. Bundles are not written: each
// side is told of newer ones over the peering.
func (a *app) exportPeerings(ctx context.Context, label string, out map[string]any) (map[string]bool, error) {
	peerings, err := client.ListPeerings(ctx, a.Client())
	if err != nil {
		return nil, err
	}
	nodes := map[string]bool{}
	for _, p := range peerings.Peerings {
		for _, n := range p.Nodes {
			nodes[n.Node] = true
		}
		if label != "" && p.Label != label {
			continue
		}
		in := peeringInput(&p.PeeringFields)
		fields, err := setFields(in)
		if err != nil {
			return nil, err
		}
		if fields["terms"], err = setFields(in.Terms); err != nil {
			return nil, err
		}
		out["peerings"] = append(entries(out["peerings"]), fields)
	}
	return nodes, nil
}

func entries(v any) []any {
	list, _ := v.([]any)
	return list
}

// setFields are v's fields that are set, without those named, as the API spells them.
func setFields(v any, without ...string) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	for _, key := range without {
		delete(fields, key)
	}
	for key, value := range fields {
		switch x := value.(type) {
		case nil:
			delete(fields, key)
		case string:
			if x == "" {
				delete(fields, key)
			}
		case float64:
			if x == 0 {
				delete(fields, key)
			}
		case bool:
			if !x {
				delete(fields, key)
			}
		case []any:
			if len(x) == 0 && key != "subscribe" { // an empty subscription asks for nothing, none asks for everything
				delete(fields, key)
			}
		}
	}
	return fields, nil
}
