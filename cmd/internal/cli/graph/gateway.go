package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/gateway"
	"github.com/catalyst-router/catalyst/cmd/internal/heap"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
)

// defaultListen is where the gateway listens if neither the configuration nor a flag says so.
const defaultListen = "127.0.0.1:4000"

func (a *app) gatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "gateway",
		Short: "Run a GraphQL gateway alone: over a supergraph file, or over subgraphs whose schemas it fetches " +
			"and composes",
		Args: console.ExactArgs(0, "no arguments"),
		Example: "  catalyst gateway --subgraph books=http://127.0.0.1:4001/graphql --subgraph " +
			"movies=http://127.0.0.1:4002/graphql\n  catalyst gateway --listen 127.0.0.1:4000 --supergraph supergraph.graphql",
		Long: "Run a GraphQL gateway until it is told to stop. Its endpoint is /graphql; /healthz says that it lives, " +
			"/readyz and /health that it serves.\n\n" +
			"Each flag is a key of the section gateway: of the configuration file, and a CATALYST_GATEWAY_* variable.",
	}
	file := cmd.Flags().String("config", os.Getenv("CATALYST_CONFIG"), "YAML file ($CATALYST_CONFIG)")
	subgraphs := cmd.Flags().StringArray("subgraph", nil, "NAME=URL of a subgraph; once for each")
	fields := gatewayFields()
	for name, f := range fields {
		cmd.Flags().String(name, f.Default, f.Doc)
		if f.Default == "true" || f.Default == "false" {
			cmd.Flags().Lookup(name).NoOptDefVal = "true"
		}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := map[string]string{}
		for name, f := range fields {
			if flag := cmd.Flags().Lookup(name); flag.Changed {
				given[f.Flag()] = flag.Value.String()
			}
		}
		if len(*subgraphs) > 0 {
			text, err := named(*subgraphs)
			if err != nil {
				return console.Usage(err)
			}
			given["gateway-subgraphs"] = text
		}
		cfg, err := config.Load(*file, os.LookupEnv, given)
		if err != nil {
			return console.Usage(err)
		}
		if cfg.Gateway.Listen == "" {
			cfg.Gateway.Listen = defaultListen
		}
		if cfg.Gateway.Supergraph == "" && len(cfg.Gateway.Subgraphs) == 0 {
			return console.Usage(fmt.Errorf(
				"nothing to serve: give --supergraph FILE, or --subgraph NAME=URL as often as needed"))
		}
		return a.runGateway(cmd.Context(), cfg)
	}
	return cmd
}

// gatewayFields are the settings of catalyst gateway by the names of its flags.
func gatewayFields() map[string]config.Field {
	fields := map[string]config.Field{}
	for _, f := range config.Fields() {
		if name, ok := strings.CutPrefix(f.Flag(), "gateway-"); ok {
			fields[name] = f
		} else if strings.HasPrefix(f.Key, "log.") {
			fields[f.Flag()] = f
		}
	}
	return fields
}

// named reads NAME=URL arguments as the value of gateway.subgraphs.
func named(args []string) (string, error) {
	all := map[string]map[string]string{}
	for _, arg := range args {
		name, url, ok := strings.Cut(arg, "=")
		switch {
		case !ok || name == "" || url == "":
			return "", fmt.Errorf("--subgraph %q: want NAME=URL", arg)
		case all[name] != nil:
			return "", fmt.Errorf("--subgraph %q: the name %s is given twice", arg, name)
		}
		all[name] = map[string]string{"url": url}
	}
	b, err := json.Marshal(all)
	return string(b), err
}

func (a *app) runGateway(ctx context.Context, cfg *config.Config) error {
	log := telemetry.Logger(a.IO.Err, cfg.Log.Level, cfg.Log.Format)
	defer telemetry.CaptureStandardLog(log)()
	return console.Logged(cfg.Log.Format, log, a.serveGateway(ctx, cfg, log))
}

func (a *app) serveGateway(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		defer heap.KeepTight(heap.Gateway).Stop()
	}
	tel, err := telemetry.New(ctx, log, "gateway "+cfg.Gateway.Listen, a.Version)
	if err != nil {
		return err
	}
	defer func() { _ = tel.Close(context.WithoutCancel(ctx)) }()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP) // a terminal that goes does not end a service
	f, err := gateway.New(ctx, cfg.Gateway, nil, tel)
	if err != nil {
		return console.Usage(err)
	}
	return f.RunAlone(ctx)
}
