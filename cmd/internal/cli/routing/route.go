package routing

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) routeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "route", Short: "Services that this node offers, and routes to all that it can reach"}
	cmd.AddCommand(a.routeSet("add", "Offer a service", true),
		a.routeSet("update", "Change what is given of a service that this node offers, and keep the rest", false),
		a.routeRemove(), a.routeAgree(), a.routeList(), a.routeShow(), a.routeExplain())
	return cmd
}

func (a *app) routeSet(verb, short string, create bool) *cobra.Command {
	use := " NAME --addr HOST:PORT"
	if !create {
		use = " NAME"
	}
	cmd := &cobra.Command{Use: verb + use, Short: short, Args: console.ExactArgs(1, "a service name"),
		Long: short + ".\n\nNAME is a name below this organisation's; a single label gets the organisation appended."}
	in := client.ServiceInput{}
	f := cmd.Flags()
	f.StringSliceVar(&in.Addresses, "addr", nil,
		"HOST:PORT of the workload; as often as there are workloads that share the traffic")
	f.StringVarP(&in.Protocol, "protocol", "p", "http", "tcp, http, http2, grpc or graphql; https and grpcs for http and "+
		"grpc with --tls")
	healthFlags(f, &in)
	ca := connectionFlags(f, &in)
	graphqlPath := f.String("graphql-path", "",
		"path of a graphql service's endpoint (default /graphql); travels as the tag graphql-path=PATH")
	f.StringVar(&in.Region, "region", "", "region")
	f.StringSliceVar(&in.Tags, "tag", nil, "tag, as often as needed")
	f.StringSliceVar(&in.Communities, "community", nil, "ORG:KEY:VALUE or a well-known community, as often as needed")
	f.IntVar(&in.Port, "port", 0, "local port of a tcp service at this node, for good (default what it has, or the "+
		"next of envoy.tcp-ports)")
	servicePort := f.Uint16("service-port", 0, "port at which applications dial a tcp service by its name (default that "+
		"of the first --addr); travels as the tag port=PORT")
	f.IntVar(&in.Weight, "weight", 0, "share of traffic among equal paths, 1 to 1000 (default 100)")
	f.BoolVar(&in.Yields, "yields", false, "let learned paths of higher local preference win over this node's own "+
		"workload, which otherwise always comes first here")
	f.IntVar(&in.Med, "med", 0, "lower is preferred among entries into this organisation (RFC 4271 MED)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Service = args[0]
		if !create {
			known, err := client.GetService(cmd.Context(), a.Client(), in.Service)
			if err != nil {
				return err
			}
			if known.Service == nil {
				return fmt.Errorf("service %s is not offered by this node: add it with catalyst route add", in.Service)
			}
			keepService(f, &in, known.Service.ServiceFields)
		}
		if f.Changed("weight") && (in.Weight < 1 || in.Weight > 1000) {
			return console.Usage(fmt.Errorf("--weight %d: want 1 to 1000; to send it nothing, use catalyst route remove or "+
				"catalyst drain", in.Weight))
		}
		if f.Changed("port") && in.Port == 0 {
			return console.Usage(fmt.Errorf("--port 0: want 1 to 65535"))
		}
		if len(in.Addresses) == 0 {
			return console.Usage(fmt.Errorf("want --addr HOST:PORT, where the workload listens"))
		}
		if in.HealthPath == "none" {
			in.HealthPath = ""
		}
		if err := takeConnection(f, &in, *ca); err != nil {
			return console.Usage(err)
		}
		in.Tags, in.Communities = append([]string{}, in.Tags...), append([]string{}, in.Communities...)
		if *graphqlPath != "" {
			if in.Protocol != "graphql" || !strings.HasPrefix(*graphqlPath, "/") {
				return console.Usage(fmt.Errorf("--graphql-path %q: want a path that begins with /, of a service with "+
					"--protocol graphql", *graphqlPath))
			}
			in.Tags = append(slices.DeleteFunc(in.Tags, func(t string) bool { return strings.HasPrefix(t, graphqlPathTag) }),
				graphqlPathTag+*graphqlPath)
		}
		if f.Changed("service-port") {
			if in.Protocol != "tcp" || *servicePort == 0 {
				return console.Usage(fmt.Errorf("--service-port %d: want a port of 1 to 65535, of a service with --protocol tcp",
					*servicePort))
			}
			in.Tags = append(slices.DeleteFunc(in.Tags, bgp.IsServicePortTag), bgp.ServicePortTag(*servicePort))
		}
		resp, err := client.SetService(cmd.Context(), a.Client(), &in, create)
		if err != nil {
			return err
		}
		return a.Print(resp.SetService, func(w io.Writer) {
			fmt.Fprintf(w, "%s is offered (%s at %s).\n", resp.SetService.Service, resp.SetService.Protocol,
				strings.Join(resp.SetService.Addresses, ", "))
		})
	}
	return cmd
}

// graphqlPathTag is the tag that carries the path of a graphql service's endpoint.
const graphqlPathTag = "graphql-path="

// keepService leaves what no flag changes as it is. A check that is taken away takes its times with it.
func keepService(f *pflag.FlagSet, in *client.ServiceInput, was client.ServiceFields) {
	console.Keep(f, "addr", &in.Addresses, was.Addresses)
	console.Keep(f, "protocol", &in.Protocol, was.Protocol)
	console.Keep(f, "region", &in.Region, was.Region)
	console.Keep(f, "tag", &in.Tags, was.Tags)
	console.Keep(f, "community", &in.Communities, was.Communities)
	console.Keep(f, "port", &in.Port, was.Port)
	console.Keep(f, "weight", &in.Weight, was.Weight)
	console.Keep(f, "med", &in.Med, was.Med)
	console.Keep(f, "yields", &in.Yields, was.Yields)
	keepConnection(f, in, &was)
	console.Keep(f, "health", &in.HealthPath, was.HealthPath)
	if in.HealthPath == "none" {
		return
	}
	console.Keep(f, "health-interval", &in.HealthInterval, was.HealthInterval)
	console.Keep(f, "health-timeout", &in.HealthTimeout, was.HealthTimeout)
	console.Keep(f, "health-rise", &in.HealthRise, was.HealthRise)
	console.Keep(f, "health-fall", &in.HealthFall, was.HealthFall)
	console.Keep(f, "when-down", &in.WhenDown, was.WhenDown)
}

// healthFlags are those that say how the workload is checked.
func healthFlags(f *pflag.FlagSet, in *client.ServiceInput) {
	f.StringVar(&in.HealthPath, "health", "",
		"let the node check the workload: http:/PATH (or the path alone), grpc, grpc:SERVICE (grpc.health.v1) or tcp "+
			"(connect); none for no check (default none)")
	f.StringVar(&in.HealthInterval, "health-interval", "", "time between two checks, 100ms to 1h (default 5s)")
	f.StringVar(&in.HealthTimeout, "health-timeout", "",
		"how long a check may take, 10ms to the interval (default 2s, or the interval if that is shorter)")
	f.IntVar(&in.HealthRise, "health-rise", 0, "successes in a row after which a service that is down is up (default 1)")
	f.IntVar(&in.HealthFall, "health-fall", 0, "failures in a row after which it is down (default 2)")
	f.StringVar(&in.WhenDown, "when-down", "",
		"announce it as down, so that others know why, or withdraw it (default announce)")
}

func (a *app) routeRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Offer a service no longer",
		Args: console.ExactArgs(1, "a service name"),
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "say which other organisations it would hit, and remove nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.WouldHit(cmd.Context(), "", args[0])
		if *dryRun {
			return nil
		}
		resp, err := client.RemoveService(cmd.Context(), a.Client(), args[0])
		if err != nil {
			return err
		}
		if !resp.RemoveService {
			return fmt.Errorf("%s is not offered by this node: see catalyst route list --local", args[0])
		}
		a.Say("%s is not offered any more.", args[0])
		return nil
	}
	return cmd
}

func (a *app) routeList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "All services that can be reached from here",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	local := cmd.Flags().Bool("local", false, "only what this node offers")
	contested := cmd.Flags().Bool("contested", false, "only names that a node offers to which nobody has agreed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *local && *contested {
			return console.Usage(fmt.Errorf("--local and --contested: want one of them"))
		}
		if *local {
			return a.localList(cmd)
		}
		routes, err := a.routes(cmd)
		if err != nil {
			return err
		}
		if *contested {
			routes = slices.DeleteFunc(routes, func(r client.RouteFields) bool { return !r.Contested })
		}
		return a.Print(routes, func(w io.Writer) {
			some := slices.ContainsFunc(routes, func(r client.RouteFields) bool { return !r.Used })
			columns := []any{"SERVICE", "PROTOCOL", "HEALTH", "VIA", "PATH", "PATHS", "TCP PORT", "PROBLEM"}
			if some {
				columns = append(columns, "USED")
			}
			console.Row(w, columns...)
			for _, r := range routes {
				best := r.Paths[0]
				via := best.Peer
				if best.Local {
					via = foundWords("local", r.FoundBy)
				}
				port := ""
				if r.Port > 0 {
					port = fmt.Sprint(r.Port)
				}
				problem := r.Problem
				if r.Contested {
					problem = strings.TrimPrefix(problem+"; contested by "+newcomers(&r), "; ")
				}
				if best.Stale {
					problem = strings.TrimPrefix(problem+"; "+staleWords(best.StaleSince, best.StaleUntil), "; ")
				}
				columns := []any{r.Service, r.Protocol, r.Health, via, console.ShortPath(best.NodePath), len(r.Paths), port,
					problem}
				if some {
					columns = append(columns, usedWords(&r))
				}
				console.Row(w, columns...)
			}
		})
	}
	return cmd
}

// routes reads every page.
func (a *app) routes(cmd *cobra.Command) ([]client.RouteFields, error) {
	all := []client.RouteFields{}
	for after := 0; ; {
		resp, err := client.ListRoutes(cmd.Context(), a.Client(), after)
		if err != nil {
			return nil, err
		}
		for _, r := range resp.Routes.Routes {
			all = append(all, r.RouteFields)
		}
		if after = resp.Routes.Next; after == 0 {
			break
		}
	}
	slices.SortFunc(all, func(x, y client.RouteFields) int { return strings.Compare(x.Service, y.Service) })
	return all, nil
}

func (a *app) localList(cmd *cobra.Command) error {
	resp, err := client.ListServices(cmd.Context(), a.Client())
	if err != nil {
		return err
	}
	return a.Print(resp.Services, func(w io.Writer) {
		console.Row(w, "SERVICE", "PROTOCOL", "ADDRESS", "CHECK", "HEALTH", "REGION", "TAGS", "FOUND BY")
		for _, s := range resp.Services {
			check := s.HealthPath
			if check == "" {
				check = "none"
			}
			console.Row(w, s.Service, spoken(&s.ServiceFields), strings.Join(s.Addresses, ","), check,
				healthWords(s.Health, s.HealthSince, s.HealthError), s.Region, strings.Join(s.Tags, ","),
				foundWords(s.FoundBy, s.FoundIn))
		}
		fmt.Fprintln(w)
		console.Row(w, "SERVICE", "WORKLOAD", "REACHED AT", "HEALTH", "NOTE")
		for _, s := range resp.Services {
			for _, x := range s.Workloads {
				console.Row(w, s.Service, x.Ordered, strings.TrimSuffix(x.Address+" or "+x.Other, " or "),
					healthWords(x.Health, x.HealthSince, x.HealthError), workloadNote(x))
			}
		}
	})
}

// workloadNote says what is the matter with the name of a workload's host.
func workloadNote(x *client.ServiceFieldsWorkloadsWorkload) string {
	switch {
	case x.Trouble == "":
		return ""
	case x.KeptUntil == "":
		return x.Trouble + " for " + console.Since(x.LostSince)
	}
	return fmt.Sprintf("%s for %s, its last address is used until %s", x.Trouble, console.Since(x.LostSince), x.KeptUntil)
}

func (a *app) route(cmd *cobra.Command, name string) (*client.RouteFields, error) {
	resp, err := client.GetRoute(cmd.Context(), a.Client(), name)
	if err != nil {
		return nil, err
	}
	if resp.Route == nil {
		return nil, fmt.Errorf("%s: no peer announces it and this node does not offer it; see catalyst route list, and "+
			"catalyst peer list for sessions that are down", name)
	}
	return &resp.Route.RouteFields, nil
}

func (a *app) routeShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "One service and the paths in use",
		Args:  console.ExactArgs(1, "a service name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.route(cmd, args[0])
			if err != nil {
				return err
			}
			return a.Print(r, func(w io.Writer) {
				head(w, r)
				for _, p := range r.Paths {
					if p.Tier >= 0 {
						console.Row(w, use(p.Tier, p.Health), p.NextHop, console.ShortPath(p.NodePath))
					}
				}
			})
		},
	}
}

// usedWords says whether Envoy has a service, and since when it was not called.
func usedWords(r *client.RouteFields) string {
	switch {
	case !r.Used:
		return "no"
	case r.Called == "":
		return "always"
	}
	return "called " + console.Since(r.Called) + " ago"
}

func head(w io.Writer, r *client.RouteFields) {
	console.Row(w, "service", r.Service)
	console.Row(w, "protocol", r.Protocol)
	if r.Port > 0 {
		console.Row(w, "TCP port", r.Port)
	}
	console.Row(w, "health", healthWords(r.Health, r.HealthSince, r.HealthError))
	if r.FoundBy != "" {
		console.Row(w, "found by", foundWords(r.FoundBy, r.FoundIn))
	}
	if !r.Used || r.Called != "" {
		console.Row(w, "used", usedWords(r))
	}
	if r.Problem != "" {
		console.Row(w, "problem", r.Problem)
	}
	if r.Contested {
		console.Row(w, "contested", "by "+newcomers(r)+": if that is meant to be, catalyst route agree "+r.Service)
	}
	for _, o := range r.Offerers {
		console.Row(w, "offered by", offererWords(o))
	}
	for _, c := range r.Reports {
		console.Row(w, "problem", fmt.Sprintf("%s at node %s for %s: %s", c.Kind, c.Node, console.Since(c.Since), c.Text))
	}
}

// foundWords adds in brackets where something was found, if it was.
func foundWords(text, in string) string {
	if in == "" {
		return text
	}
	return text + " (" + in + ")"
}

// healthWords is a service's health in one line.
func healthWords(health, from, failure string) string {
	words := health
	if from != "" {
		words += " for " + console.Since(from)
	}
	if failure != "" {
		words += ": " + failure
	}
	return words
}

// staleWords says of a stale path since when it is, and until when it is kept.
func staleWords(from, until string) string {
	words := "stale"
	if from != "" {
		words += " for " + console.Since(from)
	}
	if t, err := time.Parse(time.RFC3339Nano, until); err == nil {
		words += ", kept until " + t.Local().Format(time.TimeOnly) + " (" + time.Until(t).Round(time.Second).String() + ")"
	}
	return words
}

// use says what a path is good for. One whose workload is down is kept, and carries nothing.
func use(tier int, health string) string {
	switch {
	case health == "down":
		return "down"
	case tier == -1:
		return "not used"
	case tier == 0:
		return "in use"
	}
	return fmt.Sprintf("backup %d", tier)
}
