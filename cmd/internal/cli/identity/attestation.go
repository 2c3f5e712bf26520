package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/cmd/internal/attested"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) attestationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attestation",
		Short: "What organisations sign of the names that they offer (docs/attestation.md)",
	}
	cmd.AddCommand(a.attestationKey(), a.attestationSign(), a.attestationPublish(), a.attestationTrust(),
		a.attestationList())
	return cmd
}

func (a *app) attestationKey() *cobra.Command {
	path := false
	cmd := &cobra.Command{
		Use:   "key PRIVATE PUBLIC",
		Short: "Make a key to sign with: PRIVATE stays where it is signed, PUBLIC is for whoever is to trust it",
		Args:  console.ExactArgs(2, "two files"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				return err
			}
			id, err := attest.KeyID(&key.PublicKey)
			if err != nil {
				return err
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return err
			}
			public, err := attest.FormatKeys([]attest.Key{{ID: id, Public: &key.PublicKey, Path: path}})
			if err != nil {
				return err
			}
			if _, err := os.Stat(args[0]); err == nil {
				return fmt.Errorf("%s is there already: a key is not written over", args[0])
			}
			private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
			if err := disk.Replace(args[0], private, 0o600); err != nil {
				return err
			}
			if err := disk.Replace(args[1], append(public, '\n'), 0o644); err != nil {
				return err
			}
			if path {
				a.Say("Key %s: set peering.path-key to %s at the borders, and give %s to whoever is to trust it.", id, args[0],
					args[1])
				return nil
			}
			a.Say("Key %s: sign with %s, and give %s to whoever is to trust it.", id, args[0], args[1])
			return nil
		},
	}
	cmd.Flags().BoolVar(&path, "path", false,
		"a key with which border nodes sign the paths of routes (peering.path-key); it signs no sets")
	return cmd
}

// signedList is what catalyst attestation sign reads.
type signedList struct {
	Org      string        `json:"org"`
	Serial   uint64        `json:"serial,omitempty"`
	ValidFor string        `json:"validFor,omitempty"`
	Entries  []signedEntry `json:"entries"`
}

type signedEntry struct {
	Names     string         `json:"names"`
	Protocols []bgp.Protocol `json:"protocols,omitempty"`
	Origins   []string       `json:"origins,omitempty"`
	Carriers  []string       `json:"carriers,omitempty"`
	// Neighbours are whom the organisation's borders tell of it.
	Neighbours []string `json:"neighbours,omitempty"`
}

func (a *app) attestationSign() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign LIST",
		Short: "Sign the list of all that the organisation offers to others; no node is needed",
		Long: "Sign the list of all that the organisation offers to others: a YAML file with org, entries and, optionally, " +
			"serial (the Unix time otherwise) and validFor\n" +
			"(720h otherwise). An entry has names (a service, or *.NAME for all " +
			"below NAME), and optionally protocols, origins (nodes by name), carriers\n(organisations that may carry it " +
			"on, '*' for all) and neighbours (organisations that the borders tell of it " +
			"themselves). A name that no entry covers is invalid wherever the list is known.",
		Example: "  catalyst attestation sign offers.yaml --key attest.pem --out acme.set.json",
		Args:    console.ExactArgs(1, "a file"),
	}
	key := cmd.Flags().String("key", "", "the private key (catalyst attestation key)")
	out := cmd.Flags().String("out", "", "where to write the signed set (default standard output)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *key == "" {
			return console.Usage(errors.New("want --key FILE"))
		}
		set, err := readList(args[0], time.Now())
		if err != nil {
			return console.Usage(fmt.Errorf("%s: %w", args[0], err))
		}
		private, err := attested.ReadKey(*key)
		if err != nil {
			return err
		}
		signed, chunks, err := private.Sign(set)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		text, err := attested.Encode(signed, chunks)
		if err != nil {
			return err
		}
		if *out == "" {
			_, err = a.IO.Out.Write(text)
			return err
		}
		if err := disk.Replace(*out, text, 0o644); err != nil {
			return err
		}
		a.Say("%s: serial %d of %s, %d entries, until %s. Give it to a border: catalyst attestation publish %s", *out,
			set.Serial, set.Org, len(set.Entries), set.NotAfter.UTC().Format(time.RFC3339), *out)
		return nil
	}
	return cmd
}

// attestationLife is how long a set counts if its list does not say.
const attestationLife = 720 * time.Hour

func readList(path string, now time.Time) (*attest.Set, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw, err := config.Document(b)
	if err != nil {
		return nil, err
	}
	var l signedList
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return nil, err
	}
	now = now.Truncate(time.Second)
	life := attestationLife
	if l.ValidFor != "" {
		if life, err = time.ParseDuration(l.ValidFor); err != nil {
			return nil, fmt.Errorf("validFor: %w", err)
		}
	}
	set := &attest.Set{Org: bgp.Org(l.Org), Serial: l.Serial, NotBefore: now, NotAfter: now.Add(life)}
	if set.Serial == 0 {
		set.Serial = uint64(now.Unix()) //nolint:gosec // it is after 1970
	}
	for _, e := range l.Entries {
		set.Entries = append(set.Entries, attest.Entry(e))
	}
	return set, set.Check()
}

func (a *app) attestationPublish() *cobra.Command {
	return &cobra.Command{
		Use:   "publish SET",
		Short: "Give a signed set to the node, which tells its peers",
		Args:  console.ExactArgs(1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := setFile(args[0])
			if err != nil {
				return err
			}
			resp, err := client.Attest(cmd.Context(), a.Client(), text)
			if err != nil {
				return err
			}
			return a.Print(resp.Attest, func(w io.Writer) {
				fmt.Fprintf(w, "Serial %d of %s counts until %s: %d entries.\n", resp.Attest.Serial, resp.Attest.Organisation,
					resp.Attest.NotAfter, resp.Attest.Entries)
			})
		},
	}
}

func (a *app) attestationTrust() *cobra.Command {
	return &cobra.Command{
		Use:   "trust ORGANISATION KEYS...",
		Short: "Say which keys an organisation signs with: a file of its public keys, or none",
		Long: "Say which keys an organisation signs with: a JSON Web Key Set, of which the keys of use " +
			"catalyst-attestation and\ncatalyst-path count, in the place of those before. Several files are taken together. " +
			"During a rotation the file holds both keys. With none, what the organisation attests is not found any more.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return console.Usage(fmt.Errorf("want an organisation and files of keys: %s", cmd.UseLine()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := keyFiles(args[1:])
			if err != nil {
				return err
			}
			if _, err := client.TrustOrigin(cmd.Context(), a.Client(), args[0], keys); err != nil {
				return err
			}
			a.Say("The keys of %s are in force. See catalyst attestation list.", args[0])
			return nil
		},
	}
}

// keyFiles reads the keys of files into one JSON Web Key Set; "" for the one word none.
func keyFiles(files []string) (string, error) {
	if len(files) == 1 && files[0] == "none" {
		return "", nil
	}
	var all []attest.Key
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		keys, err := attest.ParseKeys(text)
		if err == nil && len(keys) == 0 {
			err = fmt.Errorf("holds no key of use %s or %s over P-384", attest.Use, attest.UsePath)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", f, err)
		}
		all = append(all, keys...)
	}
	text, err := attest.FormatKeys(all)
	return string(text), err
}

func (a *app) attestationList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "What organisations attest, as far as this node trusts their keys",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.ListAttestations(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			return a.Print(resp.Attestations, func(w io.Writer) {
				console.Row(w, "ORGANISATION", "SERIAL", "COUNTS", "UNTIL", "ENTRIES", "KEY", "TRUSTED KEYS")
				for _, x := range resp.Attestations {
					console.Row(w, x.Organisation, x.Serial, x.Active, x.NotAfter, x.Entries, x.Key, len(x.Keys)+len(x.PathKeys))
				}
				signed := false
				for _, x := range resp.Attestations {
					for _, p := range x.Paths {
						if !signed {
							fmt.Fprintln(w, "\nSIGNED PATHS")
							console.Row(w, "NEAREST FIRST", "UNTIL", "FOR THE SET THAT COUNTS")
							signed = true
						}
						console.Row(w, strings.Join(p.Organisations, " "), p.Until, p.Current)
					}
				}
			})
		},
	}
}

// setFile reads a file that is handed to a node as it is.
func setFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	return string(b), err
}
