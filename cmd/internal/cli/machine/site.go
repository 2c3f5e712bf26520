package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/backup"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/site"
)

func (a *app) siteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "site", Short: "Make this machine a site, where the package catalyst is installed",
		Long: "Make this machine a site, where the package catalyst is installed: configuration, identity and units.\n\n" +
			"  catalyst site init acme.example      # the first: it has the organisation's identity service\n" +
			"  catalyst site invite b               # there: prints what to type at another machine\n" +
			"  catalyst site join TOKEN             # at that machine",
	}
	cmd.AddCommand(a.siteInit(), a.siteInvite(), a.siteJoin())
	return cmd
}

// siteFlags are those of a machine.
type siteFlags struct {
	address *string
	dns     *bool
}

func newSiteFlags(cmd *cobra.Command) *siteFlags {
	return &siteFlags{
		address: cmd.Flags().String("address", "",
			"IP at which other sites reach this machine (default: that by which it reaches them)"),
		dns: cmd.Flags().Bool("dns", true, "answer the names of services at 127.0.0.1:5300 (catalyst dns setup)"),
	}
}

// setup puts the flags together; toward is an address that the machine's own is found by.
func (f *siteFlags) setup(toward string) (site.Setup, error) {
	s := site.Setup{DNS: *f.dns}
	text := *f.address
	if text == "" {
		conn, err := net.Dial("udp", toward) //nolint:noctx // nothing is sent: the kernel chooses
		if err != nil {
			return s, console.Usage(fmt.Errorf("no way out of this machine is known: give --address (%w)", err))
		}
		text, _, _ = net.SplitHostPort(conn.LocalAddr().String())
		_ = conn.Close()
	}
	var err error
	if s.Address, err = netip.ParseAddr(text); err != nil || s.Address.IsUnspecified() {
		return s, console.Usage(fmt.Errorf("--address %q: want an IP of this machine", text))
	}
	return s, nil
}

func (a *app) siteInit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init ORGANISATION", Short: "The first site: the organisation, its identity service, and a node",
		Args: console.ExactArgs(1, "an organisation, such as acme.example"),
	}
	flags := newSiteFlags(cmd)
	node := cmd.Flags().String("node", "", "name of the node (default: this machine's)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		org, err := bgp.ParseOrg(args[0])
		if err != nil {
			return console.Usage(err)
		}
		s, err := flags.setup("192.0.2.1:9") // an address of nobody (RFC 5737): the way to everybody
		if err != nil {
			return err
		}
		if *node == "" {
			host, err := os.Hostname()
			if err != nil {
				return err
			}
			*node = site.NodeName(host)
		}
		if _, err := bgp.NewNodeID(string(org), *node); err != nil {
			return console.Usage(fmt.Errorf("--node: %w", err))
		}
		return a.makeFirstSite(cmd.Context(), s, org, *node)
	}
	return cmd
}

func (a *app) makeFirstSite(ctx context.Context, s site.Setup, org bgp.Org, node string) error {
	if err := mayWrite(site.Config, site.AuthDefaults); err != nil {
		return err
	}
	dir, empty := site.Organisation, ""
	at := &organisation.At{Dir: &dir, Store: &empty, Seal: &empty, Address: &empty, Identity: &empty}
	if err := disk.InitCA(dir, org); err != nil {
		return err
	}
	if err := errors.Join(at.SealAuthority(), organisation.AdminCredential(at), backup.Give(dir, site.User)); err != nil {
		return err
	}
	if err := errors.Join(put(s.Auth()), a.configure(s)); err != nil {
		return err
	}
	if err := a.unit(ctx, "catalyst-auth"); err != nil {
		return err
	}
	token, err := a.invitation(ctx, node, nil, time.Hour, time.Minute)
	if err != nil {
		return err
	}
	if err := a.joinAndStart(ctx, token); err != nil {
		return err
	}
	a.Say("%s is founded, and this machine is its node %s, at %s.\nNext: catalyst site invite NAME   # for each "+
		"other machine",
		org, node, s.Address)
	return nil
}

func (a *app) siteInvite() *cobra.Command {
	cmd := &cobra.Command{
		Use: "invite NAME", Short: "Print the command by which another machine joins and peers with this one",
		Args: console.ExactArgs(1, "a name for its node"),
	}
	ttl := cmd.Flags().Duration("ttl", time.Hour, "how long it may be used, up to 24h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := identity.Open(site.Identity)
		if err != nil {
			return err
		}
		cfg, err := config.Load(site.Config, os.LookupEnv, nil)
		if err != nil {
			return err
		}
		peer := id.Material().Node.Name + "=" + cfg.Peering.Listen
		token, err := a.invitation(cmd.Context(), args[0], []string{peer}, *ttl, 0)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.IO.Out, "catalyst site join %s\n", token)
		return nil
	}
	return cmd
}

// invitation makes a join token, once the identity service answers, for which it waits for at most a time. The service
// alone is asked: whoever opened its store here would leave files in it that are root's.
func (a *app) invitation(ctx context.Context, node string, peers []string, ttl, wait time.Duration) (string, error) {
	c := server.NewOwnerClient(filepath.Join(site.Organisation, organisation.SocketFile))
	var out server.Joining
	err := console.Retried(ctx, wait, func(ctx context.Context) error {
		return c.Post(ctx, "/v1/joins", server.JoinToken{Node: node, Seconds: int64(ttl / time.Second)}, &out)
	})
	if server.IsRefusal(err) {
		return "", console.Usage(err)
	}
	if err != nil {
		return "", fmt.Errorf("the identity service of this machine (catalyst-auth): %w", err)
	}
	return organisation.Introduced(out.Token, peers)
}

func (a *app) siteJoin() *cobra.Command {
	cmd := &cobra.Command{
		Use: "join TOKEN", Short: "A further site: the node joins, and peers with whoever invited it",
		Args: console.ExactArgs(1, "the token that catalyst site invite printed, @FILE or -"),
	}
	flags := newSiteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := a.Given(args[0])
		if err != nil {
			return err
		}
		t, err := join.ParseToken(text)
		if err != nil {
			return console.Usage(err)
		}
		s, err := flags.setup(t.Address)
		if err != nil {
			return err
		}
		if err := errors.Join(mayWrite(site.Config), a.configure(s)); err != nil {
			return err
		}
		if err := a.joinAndStart(cmd.Context(), text); err != nil {
			return err
		}
		a.Say("This machine is node %s of %s, at %s.", t.Node, t.Org, s.Address)
		return nil
	}
	return cmd
}

// mayWrite refuses files that somebody has written something into.
func mayWrite(paths ...string) error {
	shipped, _ := os.ReadFile(site.Shipped) // none where there is no package
	for _, path := range paths {
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, os.ErrNotExist), err == nil && saysNothing(text, shipped):
		case err != nil:
			return err
		case path == site.Config:
			return fmt.Errorf("%s has settings already, which are not overwritten: this machine is a site", path)
		}
	}
	if _, err := os.Lstat(site.Identity); err == nil {
		return fmt.Errorf("%s is there already: this machine has joined", site.Identity)
	}
	return nil
}

// saysNothing tells whether a configuration has no settings, or those that the package ships.
func saysNothing(text, shipped []byte) bool { return config.Empty(text) || bytes.Equal(text, shipped) }

func (a *app) configure(s site.Setup) error {
	f, err := s.Node()
	if err != nil {
		return err
	}
	return put(f)
}

// put writes a file; a secret one belongs to the units' user.
func put(f site.File) error {
	mode := os.FileMode(0o644)
	if f.Secret {
		mode = 0o600
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil { //nolint:gosec // directories of the system
		return err
	}
	if err := disk.Replace(f.Path, []byte(f.Content), mode); err != nil || !f.Secret {
		return err
	}
	return backup.Give(f.Path, site.User)
}

// joinAndStart gives the node its token and starts it.
func (a *app) joinAndStart(ctx context.Context, token string) error {
	if err := put(site.File{Path: site.Token, Content: token + "\n", Secret: true}); err != nil {
		return err
	}
	if err := a.unit(ctx, "catalyst-node"); err != nil {
		return err
	}
	a.Socket = filepath.Join(site.Data, "catalyst.sock")
	return a.WaitReady(ctx, time.Minute)
}

// unit starts a unit now and at each boot, and says how to look for what is wrong if it does not start.
func (a *app) unit(ctx context.Context, name string) error {
	cmd := exec.CommandContext(ctx, "systemctl", "enable", "--now", name+".service")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl enable --now %s: %w: %s (see journalctl -u %s)", name, err,
			strings.TrimSpace(string(out)), name)
	}
	return nil
}
