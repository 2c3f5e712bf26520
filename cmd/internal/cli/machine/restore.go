package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/backup"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/site"
)

// restoring are the flags of catalyst restore.
type restoring struct {
	keys                        *keyFlags
	force                       *bool
	join                        *string
	identity, data, config, dir *string
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put back a backup of a node or an organisation",
		Args: console.ExactArgs(1, "a backup"),
		Long: "Put back what catalyst backup wrote, where it was: all of it, or nothing. What is there already is not " +
			"overwritten.\n\n" +
			"A node that renewed its certificate after the backup was made is taken for a copy of itself by its organisation. " +
			"Give it a token of catalyst org join-token with --join: it is admitted anew under its name, its former " +
			"certificates are revoked, and all else is as it was.\n" +
			"After a restore of an organisation its nodes may each renew once without proof that they are no copies; what was " +
			"revoked after the backup has to be revoked again.",
		Example: "  catalyst restore --passphrase-file secret node-a.backup\n" +
			"  catalyst restore --passphrase-file secret node-a.backup --join \"$(ssh auth catalyst org join-token --node a)\"",
	}
	f := cmd.Flags()
	r := &restoring{keys: a.keyFlags(cmd, false),
		force: f.Bool("force", false, "move aside what is there"),
		join: f.String("join", os.Getenv("CATALYST_JOIN"),
			"have the node join anew with a token of catalyst org join-token: the token, @FILE or - ($CATALYST_JOIN)"),
		identity: f.String("identity", "", "directory of the identity (default: where it was)"),
		data:     f.String("data", "", "data directory (default: where it was)"),
		config:   f.String("config", "", "file of the configuration (default: where it was)"),
		dir:      f.String("dir", "", "directory of the organisation (default: where it was)"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.restore(cmd.Context(), r, args[0]) }
	return cmd
}

func (a *app) restore(ctx context.Context, r *restoring, path string) error {
	key, err := r.keys.key()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return console.Usage(err)
	}
	defer func() { _ = f.Close() }()
	m, err := backup.List(bufio.NewReader(f), key)
	if err != nil {
		return err
	}
	at := map[string]string{backup.PlaceIdentity: *r.identity, backup.PlaceData: *r.data, backup.PlaceConfig: *r.config,
		backup.PlaceOrganisation: *r.dir}
	for _, p := range m.Places {
		if at[p.Name] == "" {
			at[p.Name] = p.Path
		}
	}
	if err := inUse(at); err != nil {
		return err
	}
	token, err := a.joinAnew(r, m)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	_, err = backup.Restore(bufio.NewReader(f), key, backup.Options{At: at, Force: *r.force,
		Replaceable: func(text []byte) bool {
			shipped, _ := os.ReadFile(site.Shipped) // none where there is no package
			return saysNothing(text, shipped)
		}, Now: time.Now()})
	if err != nil {
		return err
	}
	if m.Kind == backup.KindOrganisation {
		return a.restoredOrg(ctx, m, at[backup.PlaceOrganisation])
	}
	return a.restoredNode(ctx, m, at, token)
}

// inUse refuses to write below what runs.
func inUse(at map[string]string) error {
	for place, socket := range map[string]string{
		backup.PlaceData: "catalyst.sock", backup.PlaceOrganisation: organisation.SocketFile,
	} {
		if at[place] == "" {
			continue
		}
		c, err := net.Dial("unix", filepath.Join(at[place], socket)) //nolint:noctx // the kernel answers
		if err == nil {
			_ = c.Close()
			return fmt.Errorf("%s is in use: stop what runs over it first", at[place])
		}
	}
	return nil
}

// joinAnew reads the join token, if one is given.
func (a *app) joinAnew(r *restoring, m *backup.Manifest) (*join.Token, error) {
	if *r.join == "" {
		return nil, nil //nolint:nilnil // the identity is put back as it was
	}
	if m.Kind != backup.KindNode {
		return nil, console.Usage(errors.New("--join: the backup is of an organisation, and a node joins"))
	}
	text, err := a.Given(*r.join)
	if err != nil {
		return nil, err
	}
	t, err := join.ParseToken(text)
	if err != nil {
		return nil, console.Usage(err)
	}
	if id := (bgp.NodeID{Org: t.Org, Name: t.Node}); id.String() != m.ID {
		return nil, console.Usage(fmt.Errorf("--join: the token is for %s, and the backup of %s", id, m.ID))
	}
	return &t, nil
}

func (a *app) restoredNode(ctx context.Context, m *backup.Manifest, at map[string]string, token *join.Token) error {
	a.Say("%s of %s, as it was at %s, is in %s and %s.", m.Kind, m.ID, m.Made.Format(time.RFC3339),
		at[backup.PlaceIdentity],
		at[backup.PlaceData])
	if token == nil {
		if m.Stale(time.Now()) {
			a.Say("It has probably renewed its certificate since. If it is refused as a copy (\"somebody else has renewed\"):\n"+
				"  catalyst org join-token --node %s            # where the identity service is\n"+
				"  catalyst restore FILE --force --join TOKEN   # here", nodeName(m.ID))
		}
		return nil
	}
	sealed := ""
	if path := at[backup.PlaceConfig]; path != "" {
		cfg, err := config.Load(path, os.LookupEnv, nil)
		if err != nil {
			return err
		}
		sealed = cfg.SealKey
	}
	v := config.VaultIn(at[backup.PlaceIdentity], sealed)
	if err := member.Enrol(ctx, member.Request{Token: *token, Dir: v.Dir, Seal: v.Seal}); err != nil {
		return fmt.Errorf("the files are in their places, but %s could not join anew: %w", m.ID, err)
	}
	if err := backup.Give(at[backup.PlaceIdentity], m.Owner); err != nil {
		return err
	}
	a.Say("It has joined anew: its former certificates are revoked.")
	return nil
}

func nodeName(id string) string {
	n, err := bgp.ParseNodeID(id)
	if err != nil {
		return "NAME"
	}
	return n.Name
}

// restoredOrg notes in the store that it is of before.
func (a *app) restoredOrg(ctx context.Context, m *backup.Manifest, dir string) error {
	a.Say("%s %s, as it was at %s, is in %s.", m.Kind, m.ID, m.Made.Format(time.RFC3339), dir)
	path := filepath.Join(dir, organisation.StoreFile)
	if _, err := os.Stat(path); err == nil {
		st, err := store.Open(ctx, path)
		if err != nil {
			return err
		}
		err = service.MarkRestored(ctx, st, m.Made, time.Now())
		if err = errors.Join(err, st.Close(), backup.Give(dir, m.Owner)); err != nil {
			return err
		}
	}
	a.Say("What was revoked, rotated and minted after that is not in it: revoke again what has to be (catalyst org " +
		"revoke-node, catalyst token revoke).")
	for _, n := range m.Notes {
		a.Say("Not in it: %s.", n)
	}
	return nil
}
