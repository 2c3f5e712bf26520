package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens of the organisation: mint, verify, list, exchange and revoke them"}
	at := organisation.Flags(cmd, nil)
	cmd.AddCommand(a.tokenMint(at), a.tokenVerify(at), a.tokenList(at), a.tokenRevoke(at), a.tokenExchange(at))
	return cmd
}

func (a *app) tokenMint(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "mint SUBJECT", Short: "Make a token", Args: console.ExactArgs(1,
			"a subject, such as ada or spiffe://acme.example/workload/books"),
	}
	f := cmd.Flags()
	var in server.Mint
	f.StringVar(&in.Principal, "principal", "USER", "ADMIN, NODE, NODE_CUSTODIAN, DATA_CUSTODIAN or USER")
	f.StringVar(&in.Entity.Name, "name", "", "name of the entity; empty for the subject")
	f.StringVar(&in.Entity.Type, "type", "user", "user or service")
	f.StringVar(&in.Entity.NodeID, "node", "", "node of the entity")
	f.StringSliceVar(&in.Entity.TrustedNodes, "trusted-node", nil, "node that it may act on; none for all")
	f.StringSliceVar(&in.Entity.TrustedDomains, "trusted-domain", nil,
		"domain that it may act on; none for the organisation")
	f.StringSliceVar(&in.Audience, "audience", nil, "whom it is meant for; none for the organisation")
	f.StringSliceVar(&in.Scopes, "scope", nil, "scope that it has")
	ttl := f.Duration("ttl", time.Hour, "how long it is valid")
	bind := f.String("bind", "",
		"certificate that it is bound to: a PEM file or a bundle's directory; self for that of --as")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Subject, in.Seconds = args[0], int64(*ttl/time.Second)
		var err error
		switch *bind {
		case "":
		case "self":
			in.BindCaller = true
		default:
			if in.Thumbprint, err = thumbprintOf(*bind); err != nil {
				return console.Usage(err)
			}
		}
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			var out server.Minted
			if err := c.Post(ctx, "/v1/tokens", in, &out); err != nil {
				return err
			}
			return a.Print(out, func(w io.Writer) { console.Row(w, out.Token) })
		})
	}
	return cmd
}

// thumbprintOf reads a certificate.
func thumbprintOf(path string) (string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, disk.SVIDFile)
	}
	leaf, err := readLeaf(path)
	if err != nil {
		return "", err
	}
	return token.ThumbprintOf(leaf).String(), nil
}

func (a *app) tokenVerify(at *organisation.At) *cobra.Command {
	return &cobra.Command{
		Use: "verify TOKEN", Short: "Tell what a token says, if it is valid; exit status 1 if it is not",
		Long: "Tell what a token says, if it is valid. TOKEN is @FILE, - for standard input, or the token itself.",
		Args: console.ExactArgs(1, "a token, @FILE or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.Given(args[0])
			if err != nil {
				return err
			}
			return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
				var out map[string]any
				if err := c.PostForm(ctx, "/oauth/introspect", url.Values{"token": {raw}}, &out); err != nil {
					return err
				}
				if out["active"] != true {
					return fmt.Errorf("the token is not valid")
				}
				return a.Print(out, func(w io.Writer) {
					for _, name := range []string{"sub", "principal", "iss", "aud", "exp", "jti", "scope", "client_id", "cnf",
						"entity"} {
						if v, ok := out[name]; ok {
							console.Row(w, name, plain(name, v))
						}
					}
				})
			})
		},
	}
}

// plain shows a claim on one line.
func plain(name string, v any) string {
	if n, ok := v.(float64); ok && name == "exp" {
		return time.Unix(int64(n), 0).UTC().Format(time.RFC3339)
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func (a *app) tokenList(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "Tokens that were minted and are valid still, unless they are revoked",
		Args: console.ExactArgs(0, "no arguments")}
	subject := cmd.Flags().String("subject", "", "of this subject only")
	bound := cmd.Flags().String("bound", "", "bound to this certificate only: a PEM file or a bundle's directory")
	all := cmd.Flags().Bool("all", false, "those that have expired, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{"subject": {*subject}}
		if *bound != "" {
			print, err := thumbprintOf(*bound)
			if err != nil {
				return console.Usage(err)
			}
			q.Set("x5t", print)
		}
		if *all {
			q.Set("all", "1")
		}
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			out := []server.TokenInfo{}
			for {
				var page []server.TokenInfo
				if err := c.Get(ctx, "/v1/tokens?"+q.Encode(), &page); err != nil {
					return err
				}
				if len(page) == 0 {
					break
				}
				out = append(out, page...)
				q.Set("after", page[len(page)-1].ID)
			}
			return a.Print(out, func(w io.Writer) {
				console.Row(w, "JTI", "SUBJECT", "PRINCIPAL", "EXPIRES", "BOUND TO", "MINTED BY")
				for _, t := range out {
					console.Row(w, t.ID, t.Subject, t.Principal, t.Expires.Format(time.RFC3339), t.Thumbprint, t.Minter)
				}
			})
		})
	}
	return cmd
}

func (a *app) tokenRevoke(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke [TOKEN]", Short: "Revoke a token, or all of a subject, a certificate or a key",
		Long: "Revoke a token by its text (@FILE, - or the token), or by one of the flags. What was exchanged for it " +
			"goes with it. " +
			"It is in force here when this returns, at the organisation's nodes within a second.",
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	kinds := map[string]*string{
		"jti":     f.String("jti", "", "revoke the token of this id"),
		"subject": f.String("subject", "", "revoke every token of this subject that was issued up to now"),
		"serial":  f.String("serial", "", "revoke the certificate of this serial number, in hexadecimal"),
		"kid":     f.String("key", "", "revoke this signing key, and all that it signed"),
	}
	cert := f.String("certificate", "", "revoke a certificate and what is bound to it: a PEM file or a bundle's directory")
	reason := f.String("reason", "", "for the audit log")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in := server.Revoke{Reason: *reason}
		n := 0
		for kind, value := range kinds {
			if *value != "" {
				in.Kind, in.Value = kind, *value
				n++
			}
		}
		if *cert != "" {
			print, err := thumbprintOf(*cert)
			if err != nil {
				return console.Usage(err)
			}
			in.Kind, in.Value = "x5t#S256", print
			n++
		}
		if len(args) == 1 {
			raw, err := a.Given(args[0])
			if err != nil {
				return err
			}
			in.Token = raw
			n++
		}
		if n != 1 {
			return console.Usage(fmt.Errorf("want exactly one of a token, --jti, --subject, --certificate, --serial and --key"))
		}
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			if err := c.Post(ctx, "/v1/revocations", in, nil); err != nil {
				return err
			}
			a.Say("revoked")
			return nil
		})
	}
	return cmd
}

func (a *app) tokenExchange(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exchange TOKEN",
		Short: "Exchange a token for a narrower one that is bound to the certificate of --as (RFC 8693)",
		Long: "Exchange a token for a narrower one that is bound to the certificate of --as (RFC 8693).\n" +
			"Another organisation's identity service, if it is told to, exchanges a token of this one that is meant for " +
			"it (--audience ORGANISATION) for one that its own services believe; with --roots in place of --as for one " +
			"that is not bound.",
		Example: "  catalyst token exchange @ada.token --auth auth.bravo.example:7480 --roots bravo.pem",
		Args:    console.ExactArgs(1, "a token, @FILE or -"),
	}
	roots := cmd.Flags().String("roots", "",
		"PEM file of the roots of the service that --auth names, to ask it without a certificate")
	audience := cmd.Flags().StringSlice("audience", nil, "whom it is meant for; none for those of the token")
	scope := cmd.Flags().StringSlice("scope", nil, "scope that it keeps; none for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		raw, err := a.Given(args[0])
		if err != nil {
			return err
		}
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {raw},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": *audience,
			"scope": {strings.Join(*scope, " ")},
		}
		ask := func(ctx context.Context, c *server.Client) error {
			var out map[string]any
			if err := c.PostForm(ctx, "/oauth/token", form, &out); err != nil {
				return err
			}
			return a.Print(out, func(w io.Writer) { console.Row(w, out["access_token"]) })
		}
		if *roots == "" {
			return at.Call(cmd, a.App, ask)
		}
		c, end, err := nameless(at, *roots)
		if err != nil {
			return console.Usage(err)
		}
		defer end()
		return organisation.RefusedUsage(ask(cmd.Context(), c))
	}
	return cmd
}

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Token signing keys of the organisation"}
	at := organisation.Flags(cmd, nil)
	list := &cobra.Command{
		Use: "list", Short: "Signing keys: current signs, next will, retired verify still",
		Args: console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
				var out []server.KeyInfo
				if err := c.Get(ctx, "/v1/keys", &out); err != nil {
					return err
				}
				return a.printKeys(out)
			})
		},
	}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Let the next key sign, and make another next", Args: console.ExactArgs(0, "no arguments"),
		Long: "Let the next key sign, and make another next. The former key verifies for the grace time, then no more. " +
			"With --immediate, for a key that leaked, all earlier keys are revoked at once, and what they signed with them.",
	}
	grace := rotate.Flags().Duration("grace", 24*time.Hour, "how long the former key verifies, up to 720h")
	immediate := rotate.Flags().Bool("immediate", false, "the key leaked: revoke it")
	rotate.RunE = func(cmd *cobra.Command, _ []string) error {
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			var out []server.KeyInfo
			in := server.Rotate{GraceSeconds: int64(*grace / time.Second), Immediate: *immediate}
			if err := c.Post(ctx, "/v1/keys/rotate", in, &out); err != nil {
				return err
			}
			return a.printKeys(out)
		})
	}
	cmd.AddCommand(list, rotate)
	return cmd
}

func (a *app) printKeys(all []server.KeyInfo) error {
	return a.Print(all, func(w io.Writer) {
		console.Row(w, "KID", "SLOT", "PUBLISHED", "SIGNS SINCE", "VERIFIES UNTIL")
		for _, k := range all {
			console.Row(w, k.ID, k.Slot, k.Published.Format(time.RFC3339), console.Stamp(k.Signs), console.Stamp(k.Until))
		}
	})
}

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "What the identity service did, and for whom; what a node was ordered"}
	at := organisation.Flags(cmd, nil)
	show := &cobra.Command{
		Use: "show", Short: "Audit entries, the oldest first",
		Args: console.ExactArgs(0, "no arguments"),
	}
	after := show.Flags().Int64("after", 0, "only those after this sequence number")
	show.RunE = func(cmd *cobra.Command, _ []string) error {
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			out, next := []store.Entry{}, *after
			for {
				var page []store.Entry
				if err := c.Get(ctx, "/v1/audit?limit=1000&after="+strconv.FormatInt(next, 10), &page); err != nil {
					return err
				}
				if len(page) == 0 {
					break
				}
				out, next = append(out, page...), page[len(page)-1].Seq
			}
			return a.Print(out, func(w io.Writer) {
				console.Row(w, "SEQ", "AT", "ACTOR", "ACTION", "TARGET", "OUTCOME", "DETAIL")
				for _, e := range out {
					console.Row(w, e.Seq, e.At.Format(time.RFC3339), e.Actor, e.Action, e.Target, e.Outcome, e.Detail)
				}
			})
		})
	}
	verify := &cobra.Command{
		Use: "verify", Short: "Follow the chain of audit entries; exit status 1 if somebody changed one",
		Args: console.ExactArgs(0, "no arguments"),
		Long: "Follow the chain of audit entries from the first to the last, and print the last as SEQ:HASH. Note it " +
			"elsewhere: given as --head later, " +
			"it shows that the log was not written anew as a whole.",
	}
	head := verify.Flags().String("head", "", "SEQ:HASH that was printed before, and that the log must hold still")
	verify.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if *head != "" {
			seq, hash, _ := strings.Cut(*head, ":")
			q.Set("seq", seq)
			q.Set("hash", hash)
		}
		c, end, err := at.Client(cmd.Context(), a.App)
		if err != nil {
			return err
		}
		defer end()
		var out server.AuditHead
		if err := c.Get(cmd.Context(), "/v1/audit/verify?"+q.Encode(), &out); err != nil {
			return err
		}
		return a.Print(out, func(w io.Writer) { console.Row(w, fmt.Sprintf("%d:%s", out.Seq, out.Hash)) })
	}
	cmd.AddCommand(show, verify, a.auditNode())
	return cmd
}
