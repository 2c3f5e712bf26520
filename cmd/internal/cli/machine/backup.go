package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/cmd/internal/backup"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

// keyFlags are those of whatever locks or opens a backup.
type keyFlags struct {
	file, passphrase *string
	recipients       *[]string // nil where one has to open
}

func (a *app) keyFlags(cmd *cobra.Command, locks bool) *keyFlags {
	f := cmd.Flags()
	k := &keyFlags{
		file: f.String("key", "", "file of the key, as catalyst backup key or age-keygen writes it; mode 0600"),
		passphrase: f.String("passphrase-file", "",
			"file of the passphrase, 12 characters at the least (default: $CATALYST_BACKUP_PASSPHRASE)"),
	}
	if locks {
		k.recipients = f.StringArray("recipient", nil,
			"public half of a key, which locks and does not open (age1…); as often as needed")
	}
	return k
}

// key reads the one key that the flags name.
func (k *keyFlags) key() (*backup.Key, error) {
	text, env := os.LookupEnv("CATALYST_BACKUP_PASSPHRASE")
	var key *backup.Key
	var err error
	file, passphrase := *k.file != "", *k.passphrase != ""
	recipients := k.recipients != nil && len(*k.recipients) > 0
	switch {
	case file && passphrase, file && recipients, passphrase && recipients:
		err = errors.New("want one of --key, --passphrase-file and --recipient")
	case file:
		key, err = backup.KeyFile(*k.file)
	case recipients:
		key, err = backup.Recipients(strings.NewReader(strings.Join(*k.recipients, "\n")))
	case passphrase:
		var b []byte
		if b, err = disk.ReadPrivate(*k.passphrase); err == nil {
			key, err = backup.Passphrase(string(b))
		}
	case env:
		key, err = backup.Passphrase(text)
	default:
		err = errors.New("a backup is locked: want --passphrase-file, --key or $CATALYST_BACKUP_PASSPHRASE (catalyst " +
			"backup key FILE makes a key)")
	}
	if err != nil {
		return nil, console.Usage(err)
	}
	return key, nil
}

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup", Short: "Back up a node, or an organisation's identity service, while it runs",
		Long: "Write what must not be lost into one encrypted file, while the node or the identity service runs.\n" +
			"catalyst restore puts it back.",
	}
	cmd.AddCommand(a.backupNode(), a.backupOrg(), a.backupRead("verify", "Read a whole backup and compare every checksum"),
		a.backupRead("list", "Show what is in a backup"), a.backupKey())
	return cmd
}

func (a *app) backupNode() *cobra.Command {
	cmd := &cobra.Command{
		Use: "node FILE", Short: "Back up this machine's node: identity, what was ordered, policies, configuration",
		Args: console.ExactArgs(1, "the file to write, or - for standard output"),
		Long: "Back up this machine's node into one encrypted file: its identity with its private keys, the journal, " +
			"policies, tokens and configuration. The node may run.\n\nConfiguration is taken as catalyst node takes it; " +
			"without any, that of " + packagedConfig + " if it is there.",
		Example: "  catalyst backup node --passphrase-file secret node-a.backup",
	}
	load := console.Settings(cmd)
	keys := a.keyFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		packaged(cmd)
		cfg, err := load()
		if err != nil {
			return err
		}
		key, err := keys.key()
		if err != nil {
			return err
		}
		id, err := identity.OpenVault(cfg.Vault())
		if err != nil {
			return err
		}
		m := backup.Manifest{ID: id.Material().Node.String(), Made: time.Now().UTC(), Version: a.Version}
		if member.Joined(cfg.Identity) {
			m.Renews = backup.Renews(id.Material().Issued, id.Material().Expires).UTC()
		}
		if os.Getenv(config.NodeSealKey) != "" && cfg.SealKey == "" {
			m.Notes = append(m.Notes, "the sealing key is that of $"+config.NodeSealKey+": keep it, the backup is worth "+
				"nothing without it")
		}
		file := cmd.Flags().Lookup("config").Value.String()
		if file == "-" {
			file = ""
		}
		set, err := backup.Node(backup.NodeFiles{Identity: cfg.Identity, Data: cfg.Data, Config: file,
			Named: namedFiles(cfg)}, m)
		if err != nil {
			return err
		}
		return a.writeBackup(cmd, args[0], key, set)
	}
	return cmd
}

// namedFiles are those that a configuration names, and that lie neither in the identity nor in the data directory.
func namedFiles(c *config.Config) []string {
	var all []string
	for _, path := range []string{c.SealKey, c.Peering.PathKey, c.AdminTLSCert, c.AdminTLSKey, c.AdminClientCA,
		c.WebTLSCert,
		c.WebTLSKey,
		c.Policy.JWKS.Reveal(), c.Gateway.JWKS.Reveal()} {
		info, err := os.Stat(path)
		if path == "" || err != nil || !info.Mode().IsRegular() || slices.Contains(all, path) {
			continue // URLs are no files
		}
		if !isBelow(c.Data, path) && !isBelow(c.Identity, path) {
			all = append(all, path)
		}
	}
	return all
}

func isBelow(dir, path string) bool {
	d, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	p, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	rest, err := filepath.Rel(d, p)
	return err == nil && filepath.IsLocal(rest)
}

func (a *app) backupOrg() *cobra.Command {
	cmd := &cobra.Command{
		Use: "org FILE", Short: "Back up the organisation: its CA, its keys and the identity service's store",
		Args: console.ExactArgs(1, "the file to write, or - for standard output"),
		Long: "Back up the organisation's directory into one encrypted file: CA, sealing key, administrator's " +
			"certificate, and " +
			"the identity service's store. The service may run.\n\nA store in PostgreSQL (--store) is backed up with its own " +
			"means; the file has all the rest.",
		Example: "  catalyst backup org --dir org --key backup.key acme.backup",
	}
	dir := cmd.Flags().String("dir", console.DefaultOrg(), "directory of the organisation")
	sealing := cmd.Flags().String("seal-key", "", "file of the sealing key, if it is not seal.key in the directory")
	store := cmd.Flags().String("store", os.Getenv("CATALYST_AUTH_STORE"),
		"postgres:// URL of the identity store, if it is not a file in the directory ($CATALYST_AUTH_STORE)")
	keys := a.keyFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := keys.key()
		if err != nil {
			return err
		}
		at := &organisation.At{Dir: dir, Seal: sealing, Store: store}
		authority, err := at.Authority()
		if err != nil {
			return err
		}
		m := backup.Manifest{ID: string(authority.Org), Made: time.Now().UTC(), Version: a.Version}
		if *store != "" {
			m.Notes = append(m.Notes, "the store is a database elsewhere: back it up with pg_dump at the same time")
		}
		if os.Getenv("CATALYST_AUTH_SEAL_KEY") != "" && *sealing == "" {
			m.Notes = append(m.Notes, "the sealing key is that of $CATALYST_AUTH_SEAL_KEY: keep it, the backup is worth "+
				"nothing without it")
		}
		set, err := backup.Organisation(*dir, *sealing, m)
		if err != nil {
			return err
		}
		return a.writeBackup(cmd, args[0], key, set)
	}
	return cmd
}

// writeBackup writes a backup into a file that must not be there, and reads it again if it can be opened.
func (a *app) writeBackup(cmd *cobra.Command, path string, key *backup.Key, set backup.Set) (err error) {
	if path == "-" {
		_, err := backup.Write(cmd.Context(), a.IO.Out, key, set)
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return console.Usage(fmt.Errorf("%s is there already: backups are not overwritten", path))
	}
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	m, err := backup.Write(cmd.Context(), out, key, set)
	if err = errors.Join(err, out.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	var bytes int64
	for _, f := range m.Files {
		bytes += f.Bytes
	}
	a.Say("%s of %s, %d files with %d KiB, is in %s.", m.Kind, m.ID, len(m.Files), bytes>>10, path)
	for _, n := range m.Notes {
		a.Say("Not in it: %s.", n)
	}
	if !m.Renews.IsZero() {
		a.Say("Put back before %s it goes on as it is; later it wants a join token (catalyst restore --join).",
			m.Renews.Format(time.RFC3339))
	}
	return nil
}

// backupRead is the command that shows a backup.
func (a *app) backupRead(use, short string) *cobra.Command {
	cmd := &cobra.Command{Use: use + " FILE", Short: short, Args: console.ExactArgs(1, "a backup")}
	keys := a.keyFlags(cmd, false)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		key, err := keys.key()
		if err != nil {
			return err
		}
		f, err := os.Open(args[0])
		if err != nil {
			return console.Usage(err)
		}
		defer func() { _ = f.Close() }()
		read := backup.List
		if use == "verify" {
			read = backup.Verify
		}
		m, err := read(bufio.NewReader(f), key)
		if err != nil {
			return err
		}
		return a.Print(m, func(w io.Writer) {
			console.Row(w, "of", m.Kind+" "+m.ID)
			console.Row(w, "made", m.Made.Format(time.RFC3339)+" by catalyst "+m.Version)
			if !m.Renews.IsZero() {
				console.Row(w, "goes on until", m.Renews.Format(time.RFC3339))
			}
			for _, p := range m.Places {
				console.Row(w, p.Name, p.Path)
			}
			for _, n := range m.Notes {
				console.Row(w, "not in it", n)
			}
			if use == "verify" {
				console.Row(w, "files", fmt.Sprintf("%d, each as its checksum says", len(m.Files)))
				return
			}
			for _, f := range m.Files {
				console.Row(w, "file", fmt.Sprintf("%s, %d bytes", f.Name, f.Bytes))
			}
		})
	}
	return cmd
}

func (a *app) backupKey() *cobra.Command {
	return &cobra.Command{
		Use: "key FILE", Short: "Make a key of backups, and print its public half",
		Args: console.ExactArgs(1, "the file to write"),
		Long: "Make a key of backups in a file, and print its public half: with that (--recipient) a machine locks " +
			"backups that it cannot open. Keep the file elsewhere.",
		RunE: func(_ *cobra.Command, args []string) error {
			text, public, err := backup.NewKey()
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return console.Usage(err)
			}
			_, err = f.WriteString(text)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			fmt.Fprintln(a.IO.Out, public)
			return nil
		},
	}
}
