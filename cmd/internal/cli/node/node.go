package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/daemon"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
)

func (a *app) nodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "node", Short: "Run a node: routing, Envoy and its configuration, operator API",
		Args: console.ExactArgs(0, "no arguments"),
		Long: "Run a node until it is told to stop.\n\nSIGTERM ends the process and leaves Envoy running; peers keep " +
			"the routes for the graceful-restart time, so that a restart is not noticed by traffic.\n" +
			"SIGINT (Ctrl-C) ends the node for good: peers are told, and Envoy is stopped.\nSIGHUP changes nothing.",
	}
	load := console.Settings(cmd)
	noEnvoy := cmd.Flags().Bool("no-envoy", false,
		"run without an Envoy; one of your own may connect (catalyst envoy bootstrap)")
	token := cmd.Flags().String("join", os.Getenv("CATALYST_JOIN"),
		"join the organisation first, with a token of catalyst org join-token: the token, @FILE or - ($CATALYST_JOIN)")
	oidc := cmd.Flags().String("join-oidc", "",
		"file with the token of an external issuer to join by; --join is one of catalyst org join-token --oidc")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		err = a.join(cmd.Context(), cfg.Vault(), *token, *oidc)
		if err != nil {
			return err
		}
		cfg.Envoy.Enabled = cfg.Envoy.Enabled && !*noEnvoy
		return a.runNode(cmd.Context(), cfg)
	}
	return cmd
}

// runNode runs a node; what ends it is the last line of the log.
func (a *app) runNode(ctx context.Context, cfg *config.Config) error {
	log := telemetry.Logger(a.IO.Err, cfg.Log.Level, cfg.Log.Format)
	defer telemetry.CaptureStandardLog(log)()
	return console.Logged(cfg.Log.Format, log, a.serveNode(ctx, cfg, log))
}

// join gets a node's first certificate, unless it has joined already: a restart with the same flags changes nothing.
func (a *app) join(ctx context.Context, v disk.Vault, text, oidc string) error {
	if text == "" || member.Joined(v.Dir) {
		return nil
	}
	text, err := a.Given(text)
	if err != nil {
		return err
	}
	t, err := join.ParseToken(text)
	if err != nil {
		return console.Usage(err)
	}
	r := member.Request{Token: t, Dir: v.Dir, Seal: v.Seal}
	if oidc != "" {
		if r.OIDC, err = a.Given("@" + oidc); err != nil {
			return err
		}
	}
	if err := member.Enrol(ctx, r); err != nil {
		return fmt.Errorf("join %s as node %s: %w", t.Org, t.Node, err)
	}
	a.Say("joined %s as node %s.", t.Org, t.Node)
	return nil
}

func (a *app) serveNode(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	m, err := member.Open(cfg.Vault(), log)
	if err != nil {
		return err
	}
	if m != nil {
		if err := m.Awake(ctx); err != nil {
			return err
		}
	}
	id, err := identity.OpenVault(cfg.Vault())
	if err != nil {
		return err
	}
	mem := keepMemory(cfg)
	defer mem.stop()
	tel, err := telemetry.New(ctx, log, id.Material().Node.String(), a.Version)
	if err != nil {
		return err
	}
	defer func() { _ = tel.Close(context.WithoutCancel(ctx)) }()
	d, err := daemon.New(ctx, cfg, a.Version, tel, id, m)
	if err != nil {
		return err
	}
	mem.from(d.Complete())
	if m != nil {
		if err := m.Introduce(func(p join.Peer) error { return d.Introduce(ctx, p.Node, p.Address) }); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() { // ends with the process
		for s := range signals {
			switch s {
			case syscall.SIGHUP:
				log.Info("SIGHUP changes nothing: certificates are followed as they are, the configuration is read at " +
					"the next start")
			case syscall.SIGINT:
				cancel(daemon.ErrFarewell)
			default:
				if cfg.Stop.SIGTERM == "drain" {
					cancel(daemon.ErrDrain)
				} else {
					cancel(fmt.Errorf("signal %s", s))
				}
			}
		}
	}()
	return d.Run(ctx)
}
