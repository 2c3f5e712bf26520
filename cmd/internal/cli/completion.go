package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// completionTime is how long a shell waits for the node's names.
const completionTime = time.Second

// values are what a flag may be, where that is a short list; for every command that has such a flag.
func values(flag string) []string {
	switch flag {
	case "protocol":
		return []string{"tcp", "http", "http2", "grpc", "graphql", "https", "grpcs"}
	case "output":
		return []string{"table", "json", "yaml"}
	case "when-down":
		return []string{"announce", "withdraw"}
	case "over-limit":
		return []string{"block", "warn", "close"}
	case "health":
		return []string{"http:/", "grpc", "grpc:", "tcp", "none"}
	case "log-level":
		return []string{"debug", "info", "warn", "error"}
	case "log-format":
		return []string{"text", "json"}
	case "peering-trace":
		return []string{"organisation", "given", "off"}
	case "peering-explain":
		return []string{"organisation", "peers", "off"}
	case "peering-accept":
		return []string{"listed", "organisation"}
	case "envoy-admit":
		return []string{"peers", "organisation"}
	case "envoy-table":
		return []string{"all", "used"}
	case "stop-sigterm":
		return []string{"restart", "drain"}
	case "policy-enforce":
		return []string{"on", "shadow", "off"}
	}
	return nil
}

// completion has the shell offer names that the node knows, and the values of flags that have few.
func (a *app) completion(root *cobra.Command) {
	names := map[string]func(context.Context) []string{
		"catalyst peer update": a.peerNames, "catalyst peer remove": a.peerNames, "catalyst peer reset": a.peerNames,
		"catalyst peer show":    a.peerNames,
		"catalyst route update": a.ownServices, "catalyst route remove": a.ownServices,
		"catalyst route show": a.knownServices, "catalyst route explain": a.knownServices, "catalyst trace": a.knownServices,
		"catalyst envoy ports pin": a.knownServices, "catalyst envoy ports free": a.portedServices,
	}
	var each func(cmd *cobra.Command)
	each = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			each(c)
		}
		if list := names[cmd.CommandPath()]; list != nil {
			cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
				defer cancel()
				return beginning(list(ctx), begun), cobra.ShellCompDirectiveNoFileComp
			}
		}
		for _, flag := range []string{
			"protocol", "output", "when-down", "over-limit", "health", "log-level", "log-format", "peering-trace",
			"peering-explain", "peering-accept", "envoy-admit", "envoy-table", "stop-sigterm", "policy-enforce",
		} {
			if cmd.Flags().Lookup(flag) == nil && cmd.PersistentFlags().Lookup(flag) == nil {
				continue
			}
			err := cmd.RegisterFlagCompletionFunc(flag,
				func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
					return beginning(values(flag), begun), cobra.ShellCompDirectiveNoFileComp
				})
			if err != nil {
				panic(err) // the flag is there, and nobody else completes it
			}
		}
	}
	each(root)
}

func beginning(all []string, begun string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, begun) })
}

func (a *app) peerNames(ctx context.Context) (all []string) {
	if resp, err := client.ListPeers(ctx, a.Client()); err == nil {
		for _, p := range resp.Peers {
			all = append(all, p.Node)
		}
	}
	return all
}

func (a *app) ownServices(ctx context.Context) (all []string) {
	if resp, err := client.ListServices(ctx, a.Client()); err == nil {
		for _, s := range resp.Services {
			all = append(all, s.Service)
		}
	}
	return all
}

// knownServices is the first page of what can be reached; nobody reads more on a command line.
func (a *app) knownServices(ctx context.Context) (all []string) {
	if resp, err := client.ListRoutes(ctx, a.Client(), 0); err == nil {
		for _, r := range resp.Routes.Routes {
			all = append(all, r.Service)
		}
	}
	slices.Sort(all)
	return all
}

func (a *app) portedServices(ctx context.Context) (all []string) {
	if resp, err := client.ListPorts(ctx, a.Client()); err == nil {
		for _, p := range resp.Ports.Taken {
			all = append(all, p.Service)
		}
	}
	return all
}
