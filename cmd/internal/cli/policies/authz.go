package policies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/cmd/internal/tokens"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// alone is what catalyst authz is told.
type alone struct {
	listen, jwks, issuer, audience string
	headers                        []string
	shadow                         bool
	poll                           time.Duration
}

func (a *app) authzCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "authz PATH…",
		Short: "Answer an Envoy of your own by policy (ext_authz), without a node",
		Args:  pathArgs,
		Long: "Serve Envoy's external authorization (envoy.service.auth.v3) by the policies and entities of the given " +
			"files, which are read again when they change: a set that is\n" +
			"not valid is refused as a whole, and the one before serves on. Routes say which service they lead to by " +
			"context_extensions, as e2e/examples/authz/envoy.yaml shows.",
	}
	var o alone
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:9191", "HOST:PORT on loopback, or unix:PATH")
	cmd.Flags().StringSliceVar(&o.headers, "headers", nil,
		"names of request headers, in lower case, that policies may look at")
	cmd.Flags().BoolVar(&o.shadow, "shadow", false, "let everything through, and log what would be denied")
	cmd.Flags().StringVar(&o.jwks, "jwks", "", "file of the keys of bearer tokens; without it tokens are not looked at")
	cmd.Flags().StringVar(&o.issuer, "issuer", "", "iss that tokens must have; wanted with --jwks")
	cmd.Flags().StringVar(&o.audience, "audience", "", "aud that tokens must have; wanted with --jwks")
	cmd.Flags().DurationVar(&o.poll, "poll", time.Second, "how often the files are looked at, at least 100ms")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.runAuthz(cmd.Context(), o, args) }
	return cmd
}

func (a *app) runAuthz(ctx context.Context, o alone, paths []string) error {
	if o.poll < 100*time.Millisecond {
		return console.Usage(fmt.Errorf("--poll %s: want at least 100ms", o.poll))
	}
	log := telemetry.Logger(a.IO.Err, "info", "text")
	src, err := console.PolicyFiles(paths)
	if err != nil {
		return err
	}
	snap, err := policy.Compile(src)
	if err != nil {
		return console.Usage(err)
	}
	var engine policy.Engine
	engine.Publish(snap)
	cfg := extauthz.Config{
		Engine:  &engine,
		Log:     log,
		Headers: o.headers,
		Shadow:  o.shadow,
		Record:  func(r policy.Record) { logDecision(log, r) },
	}
	var known *tokens.Tokens
	if o.jwks != "" {
		known, err = tokens.New(ctx, tokens.Config{
			Audience: o.audience, JWKS: secret.NewURL(o.jwks), Issuer: o.issuer, Log: log,
		})
		if err != nil {
			return console.Usage(err)
		}
		cfg.Tokens = known
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := listenAlone(ctx, o.listen)
	if err != nil {
		return err
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return extauthz.New(cfg).Serve(ctx, l) })
	if known != nil {
		tasks.Go(func() error { return known.Run(ctx) })
	}
	tasks.Go(func() error { follow(ctx, &engine, src, paths, o.poll, log); return nil })
	log.Info("policies are served", "listen", l.Addr().String(), "hash", snap.Hash(), "policies", len(snap.Policies()))
	return tasks.Wait()
}

func listenAlone(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listen.On(ctx, "unix", path, "--listen")
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, console.Usage(fmt.Errorf("--listen %q: want an IP of loopback and a port, or unix:PATH: whoever asks "+
			"is not asked who it is", address))
	}
	return listen.On(ctx, "tcp", address, "--listen")
}

// follow puts changed files in force.
func follow(ctx context.Context, engine *policy.Engine, current policy.Source, paths []string, every time.Duration,
	log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		src, err := console.PolicyFiles(paths)
		if err == nil && reflect.DeepEqual(src, current) {
			continue
		}
		var snap *policy.Snapshot
		if err == nil {
			current = src // a bad set is complained of once
			snap, err = policy.Compile(src)
		}
		if err != nil {
			log.Error("the changed policies are not taken, those before serve on", "error", err)
			continue
		}
		engine.Publish(snap)
		log.Info("changed policies are in force", "hash", snap.Hash(), "policies", len(snap.Policies()))
	}
}

func logDecision(log *slog.Logger, r policy.Record) {
	if r.Decision.Allow {
		return
	}
	log.Info("denied", "decision", r.ID, "principal", r.Call.Principal(), "service", r.Call.Service, "method",
		r.Call.Method, "path", r.Call.Path,
		"policies", r.Decision.Policies, "error", errors.Join(errs(r.Decision.Errors)...))
}

func errs(texts []string) (all []error) {
	for _, t := range texts {
		all = append(all, errors.New(t))
	}
	return all
}
