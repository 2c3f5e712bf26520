package spread

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
)

// Limits of what others say.
const (
	maxBundle  = 8 << 20  // bytes of a set, compressed
	maxPlain   = 64 << 20 // and not
	partBytes  = 40 << 10 // of one part; a bulletin of 64 KiB has it in base64
	maxChain   = 8        // certificates of a signer
	maxFuture  = 2 * time.Minute
	maxHolders = 10_000
)

// Level is how much of the vocabulary of calls this version knows; a set says which it needs (policy.Snapshot.Level).
const Level = policy.Level

// Bundle is a set as it travels.
type Bundle struct {
	Source policy.Source `json:"source"`
	By     string        `json:"by"` // who applied it at the signer
	Note   string        `json:"note"`
}

// pack returns the bytes of a bundle.
func (b Bundle) pack() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := json.NewEncoder(z).Encode(b); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if out.Len() > maxBundle {
		return nil, fmt.Errorf("the policies are %d bytes when compressed: %d is the most that is sent to other nodes",
			out.Len(), maxBundle)
	}
	return out.Bytes(), nil
}

func unpack(packed []byte) (b Bundle, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return b, err
	}
	limited := &io.LimitedReader{R: z, N: maxPlain}
	if err := json.NewDecoder(limited).Decode(&b); err != nil {
		return b, fmt.Errorf("read the set: %w", err)
	}
	return b, nil
}

// Head is what a signer says of its set.
type Head struct {
	Signer bgp.NodeID `json:"signer"`
	Serial uint64     `json:"serial"` // of the organisation's sets; 1 for the first
	Hash   string     `json:"hash"`   // SHA-256 of the packed bytes, in hexadecimal
	Size   int        `json:"size"`   // of them
	At     time.Time  `json:"at"`     // when it was still so
	// Signature is over the above; Chain has the signer's certificate and those between it and a root, in DER.
	Signature []byte   `json:"signature"`
	Chain     [][]byte `json:"chain"`
}

// signed is what the signature covers.
func (h *Head) signed() []byte {
	return fmt.Appendf(nil, "catalyst policy set\nsigner %s\nserial %d\nhash %s\nsize %d\nat %d\n", h.Signer, h.Serial,
		h.Hash, h.Size, h.At.UnixMilli())
}

// Newer tells whether a head is of a set that takes the place of another's.
func (h *Head) Newer(than *Head) bool {
	return than == nil || h.Serial > than.Serial || h.Serial == than.Serial && h.Hash > than.Hash
}

// Verify errs if packed is not what the signer signed.
func (h *Head) Verify(id Identity, packed []byte) error {
	if hashOf(packed) != h.Hash {
		return errors.New("the bytes are not those of its hash")
	}
	return id.Verify(h.Signer, h.signed(), h.Signature, h.Chain, h.At)
}

func (h *Head) same(as *Head) bool { return as != nil && h.Serial == as.Serial && h.Hash == as.Hash }

// check refuses a head that makes no sense, before anything is verified.
func (h *Head) check(org bgp.Org, now time.Time) error {
	switch {
	case h.Signer.Org != org:
		return fmt.Errorf("its signer is %s: want a node of %s", h.Signer, org)
	case h.Serial == 0 || len(h.Hash) != 2*sha256.Size || h.Size < 1 || h.Size > maxBundle:
		return errors.New("its serial, hash or size cannot be")
	case len(h.Chain) == 0 || len(h.Chain) > maxChain:
		return errors.New("it has no chain of certificates")
	case h.At.After(now.Add(maxFuture)):
		return fmt.Errorf("it was signed at %s, which is to come: compare the clocks", h.At.Format(time.RFC3339))
	}
	return nil
}

func hashOf(packed []byte) string {
	sum := sha256.Sum256(packed)
	return hex.EncodeToString(sum[:])
}

// Holder is what a node has in force, as its neighbours pass it on: they vouch for it, it is no proof.
type Holder struct {
	Node   bgp.NodeID `json:"node"`
	Serial uint64     `json:"serial"` // 0: none of the organisation's
	Set    string     `json:"set"`    // hash of the snapshot
	Level  int        `json:"level"`  // of the vocabulary that it knows
	At     time.Time  `json:"at"`
	Error  string     `json:"error,omitempty"` // why a newer set was not put in force
}

type want struct {
	Hash   string `json:"hash"`
	Offset int    `json:"offset"`
}

type part struct {
	Hash   string `json:"hash"`
	Offset int    `json:"offset"`
	Data   []byte `json:"data"`
}

// message is one bulletin: exactly one of these.
type message struct {
	Head   *Head   `json:"head,omitempty"`
	Want   *want   `json:"want,omitempty"`
	Part   *part   `json:"part,omitempty"`
	Holder *Holder `json:"holder,omitempty"`
}

func (m message) encode() []byte {
	b, _ := json.Marshal(m) // nothing in it can fail
	return b
}
