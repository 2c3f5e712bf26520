package member

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
)

const callTime = 15 * time.Second

// Request is a node that wants to join.
type Request struct {
	Token join.Token
	// OIDC is a token of an external issuer in place of the secret. The rest of Token says where to join, and as whom.
	OIDC string
	Dir  string // where the identity shall be kept
	// Seal says under which key its secrets are sealed; the zero value writes them in clear.
	Seal seal.Place
}

// Refused is why the organisation does not take a node, or does not renew its certificate.
type Refused struct {
	Text string
	// Unknown is that the certificate that was shown is not taken, whatever was asked.
	Unknown bool
}

// Error implements error.
func (r *Refused) Error() string { return r.Text }

// Enrol gets the first certificate of a node and writes its bundle. If the answer was lost, it may be called again
// within a minute, in the same directory.
func Enrol(ctx context.Context, r Request) error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return fmt.Errorf("make the identity's directory: %w", err)
	}
	v := disk.Vault{Dir: r.Dir, Seal: r.Seal}
	nodeKey, err := keyIn(v, nodeKeyFile)
	if err != nil {
		return err
	}
	mine, err := selfSigned(nodeKey, r.Token.Node)
	if err != nil {
		return err
	}
	key, csr, err := pending(v)
	if err != nil {
		return err
	}
	client, end, err := follow.Dial(r.Token.Address, pinnedTLS(r.Token, mine))
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	in := &authv1.JoinRequest{Organisation: string(r.Token.Org), Node: r.Token.Node, Secret: r.Token.Secret, Csr: csr,
		OidcToken: r.OIDC}
	out, err := client.Join(ctx, in)
	if err != nil {
		return callError(r.Token.Address, err)
	}
	s := &state{Org: r.Token.Org, Node: r.Token.Node, Address: r.Token.Address, Peers: r.Token.Peers}
	return s.keep(v, key, out, nil)
}

// pending returns the key of the certificate that is asked for and its signing request.
func pending(v disk.Vault) (*ecdsa.PrivateKey, []byte, error) {
	key, err := keyIn(v, pendingKey)
	if err != nil {
		return nil, nil, err
	}
	csr, err := request(key)
	return key, csr, err
}

// keep checks what was issued, writes it down as one file, and puts it in place from there: whenever the process is
// killed, either the former certificate is whole and the pending key is there to ask again with, or finish completes
// the new one.
//
// bound names the files of the tokens that went along, in their order.
func (s *state) keep(v disk.Vault, key *ecdsa.PrivateKey, out *authv1.Issued, bound []string) error {
	chain, err := parseCerts(out.GetChain())
	if err != nil {
		return fmt.Errorf("the identity service's answer: %w", err)
	}
	if public, ok := chain[0].PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return errors.New("the identity service's answer: the certificate is for another key")
	}
	if len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != s.id().URI() {
		return errors.New("the identity service's answer: the certificate is for another node")
	}
	if _, err := parseCerts(out.GetRoots()); err != nil {
		return fmt.Errorf("the identity service's answer: roots: %w", err)
	}
	s.Continuity, s.Issuer, s.Token, s.Alarm = out.GetContinuity(), out.GetIssuer(), out.GetToken(), out.GetAlarm()
	s.Returns, s.Anew = int(out.GetReturnsLeft()), out.GetReturnsAnew()
	in := issued{State: *s, Chain: out.GetChain(), Roots: out.GetRoots(), Bound: map[string]string{}}
	for i, name := range bound {
		if i < len(out.GetCarried()) && out.GetCarried()[i] != "" {
			in.Bound[name] = out.GetCarried()[i]
		}
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if err := v.Write(issuedFile, b); err != nil {
		return err
	}
	return finish(v)
}

// issued is an answer of the identity service as it is written down first.
type issued struct {
	State state  `json:"state"`
	Chain []byte `json:"chain"`
	Roots []byte `json:"roots"`
	// Bound are the tokens that were minted anew for the certificate, by the names of their files.
	Bound map[string]string `json:"bound,omitempty"`
}

// finish puts in place what was issued and written down; nothing if nothing was. It may be done again from anywhere.
func finish(v disk.Vault) error {
	b, err := v.Read(issuedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	in := &issued{}
	if err := json.Unmarshal(b, in); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(v.Dir, issuedFile), err)
	}
	for _, write := range in.writes(v) {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// writes are the steps of finish, in their order: a reader of the identity sees roots before what they vouch for, and
// the key before its certificate; and who sends bound tokens has the new ones, which are good with the former
// certificate too, before the new one is shown.
func (in *issued) writes(v disk.Vault) []func() error {
	remove := func(name string) error {
		if err := os.Remove(filepath.Join(v.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return []func() error{
		func() error {
			return disk.Replace(filepath.Join(v.Dir, disk.BundleFile(in.State.Org)), in.Roots, 0o644)
		},
		func() error { return in.State.write(v) },
		func() error {
			for name, token := range in.Bound {
				if err := disk.Replace(filepath.Join(v.Dir, boundDir, filepath.Base(name)), []byte(token+"\n"), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			text, err := v.Read(pendingKey)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it is in its place
			}
			if err != nil {
				return err
			}
			return v.Write(disk.SVIDKey, text)
		},
		func() error { return disk.Replace(filepath.Join(v.Dir, disk.SVIDFile), in.Chain, 0o644) },
		func() error { return remove(pendingKey) },
		func() error { return remove(issuedFile) },
	}
}

// callError tells a refusal from a call that came to nothing.
func callError(address string, err error) error {
	st := status.Convert(err)
	switch st.Code() {
	case codes.PermissionDenied, codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Unauthenticated:
		return &Refused{st.Message(), st.Code() == codes.Unauthenticated}
	}
	return fmt.Errorf("the identity service at %s: %s", address, st.Message())
}
