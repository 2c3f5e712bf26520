// Package attested keeps what organisations attest of their origins below a node's data directory: the newest set of
// each, and the keys that the operator trusts for it. A restarted node judges routes from the start as it did before,
// and takes no set that is older than one that it has had.
//
//	keeper := attested.Keeper{Dir: dir, Router: router, Log: log}
//	err := keeper.Restore(ctx)   // before the peers are set
//	err = keeper.Keep(ctx)       // until ctx ends
package attested

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

const (
	setSuffix  = ".set.json"
	keysSuffix = ".keys.json"
	// of files with the keys that came with an organisation's bundle; they count where no operator has given others
	bundledSuffix = ".bundled.json"
	maxKeys       = 1 << 20                                // bytes of a file of keys
	maxSet        = 2 * attest.MaxChunks * attest.MaxChunk // bytes of a file with a set, in base64
)

// Router is what a keeper needs of peering.Router.
type Router interface {
	Do(ctx context.Context, ev speaker.Event) error
	Query(ctx context.Context, ask func(*speaker.Speaker)) error
	KeepAttested(ctx context.Context, keep func(attest.Held) error) error
}

// Keeper is the directory of one node.
type Keeper struct {
	Dir    string
	Router Router
	Log    *slog.Logger
}

// Restore tells the router the keys and sets that are kept. A file that cannot be read is named and passed over: what
// it would have made valid is not found then.
func (k *Keeper) Restore(ctx context.Context) error {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	for _, suffix := range []string{bundledSuffix, keysSuffix, setSuffix} { // a set is verified with the keys
		files, err := filepath.Glob(filepath.Join(k.Dir, "*"+suffix))
		if err != nil {
			return err
		}
		for _, f := range files {
			ev, err := k.read(f, suffix)
			if err != nil {
				k.Log.Error("what is attested could not be read: routes of the organisation are not found to be valid",
					"file", f, "error", err)
				continue
			}
			if err := k.Router.Do(ctx, ev); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *Keeper) read(file, suffix string) (speaker.Event, error) {
	if suffix == keysSuffix || suffix == bundledSuffix {
		org, err := bgp.ParseOrg(strings.TrimSuffix(filepath.Base(file), suffix))
		if err != nil {
			return nil, err
		}
		keys, err := datafile.Read(file, maxKeys)
		return speaker.AttestKeys{Org: org, Keys: keys}, err
	}
	text, err := datafile.Read(file, maxSet)
	if err != nil {
		return nil, err
	}
	return Decode(text)
}

// Keep writes down each set that comes to count, until ctx ends or the router stops.
func (k *Keeper) Keep(ctx context.Context) error {
	err := k.Router.KeepAttested(ctx, func(h attest.Held) error {
		text, err := Encode(h.Signed, h.Chunks)
		if err != nil {
			return err
		}
		return datafile.Replace(filepath.Join(k.Dir, string(h.Org)+setSuffix), text)
	})
	if ctx.Err() != nil || errors.Is(err, peering.ErrStopped) {
		return nil //nolint:nilerr // it ends as it was told to
	}
	return err
}

// Trust says which keys an organisation signs with, now and after a restart: a JSON Web Key Set, or none any more, so
// that those of its bundle count again, if it has one.
func (k *Keeper) Trust(ctx context.Context, org bgp.Org, jwks []byte) error {
	file := filepath.Join(k.Dir, string(org)+keysSuffix)
	if len(jwks) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return k.inForce(ctx, org)
	}
	keys, err := attest.ParseKeys(jwks)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fmt.Errorf("keys: none of use %q over P-384 is among them", attest.Use)
	}
	if len(jwks) > maxKeys {
		return fmt.Errorf("keys: more than %d bytes", maxKeys)
	}
	if err := datafile.Replace(file, jwks); err != nil {
		return err
	}
	return k.Router.Do(ctx, speaker.AttestKeys{Org: org, Keys: jwks})
}

// Federate says which keys came with the bundle of an organisation, and none when its peering has ended. They count
// where no operator has given others by hand. A nil Router is told when it is restored.
func (k *Keeper) Federate(ctx context.Context, org bgp.Org, keys []attest.Key) error {
	file := filepath.Join(k.Dir, string(org)+bundledSuffix)
	was, err := datafile.Read(file, maxKeys)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(keys) == 0 {
		if was == nil {
			return nil
		}
		if err := os.Remove(file); err != nil {
			return err
		}
		return k.inForce(ctx, org)
	}
	is, err := attest.FormatKeys(keys)
	if err != nil || string(is) == string(was) {
		return err
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	if err := datafile.Replace(file, is); err != nil {
		return err
	}
	return k.inForce(ctx, org)
}

// inForce tells the router the keys of an organisation as the files have them.
func (k *Keeper) inForce(ctx context.Context, org bgp.Org) error {
	keys := []byte(`{"keys":[]}`)
	for _, suffix := range []string{keysSuffix, bundledSuffix} {
		text, err := datafile.Read(filepath.Join(k.Dir, string(org)+suffix), maxKeys)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		keys = text
		break
	}
	if k.Router == nil {
		return nil
	}
	return k.Router.Do(ctx, speaker.AttestKeys{Org: org, Keys: keys})
}

// Own returns the keys that an operator has given for the node's own organisation: its bundle hands them out.
func (k *Keeper) Own(org bgp.Org) ([]attest.Key, error) {
	text, err := datafile.Read(filepath.Join(k.Dir, string(org)+keysSuffix), maxKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return attest.ParseKeys(text)
}

// Enter gives the router a set, judged beforehand so that its operator reads what is wrong with it. It returns the
// organisation.
func (k *Keeper) Enter(ctx context.Context, text []byte) (bgp.Org, error) {
	set, err := Decode(text)
	if err != nil {
		return "", err
	}
	var org bgp.Org
	var trouble error
	err = k.Router.Query(ctx, func(s *speaker.Speaker) {
		in, err := s.Table().Attested().Begin(time.Now(), set.Signed)
		for i := 0; err == nil && i < len(set.Chunks); i++ {
			err = in.Chunk(set.Chunks[i])
		}
		if trouble = err; err == nil {
			org = in.Org()
		}
	})
	if err = errors.Join(err, trouble); err != nil {
		return "", err
	}
	return org, k.Router.Do(ctx, set)
}

// file is a set as a file holds it: bytes in base64.
type file struct {
	Signed []byte   `json:"signed"`
	Chunks [][]byte `json:"chunks"`
}

// Encode writes a signed set as a file.
func Encode(signed []byte, chunks [][]byte) ([]byte, error) {
	text, err := json.MarshalIndent(file{signed, chunks}, "", "  ")
	return append(text, '\n'), err
}

// Decode reads what Encode wrote.
func Decode(text []byte) (speaker.AttestSet, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return speaker.AttestSet{}, fmt.Errorf("read the set: %w: want a file of catalyst attestation sign", err)
	}
	return speaker.AttestSet{Signed: f.Signed, Chunks: f.Chunks}, nil
}
