// Package backup writes what a node, or an organisation's identity service, must not lose into one encrypted file, and
// puts it back. It works while they run: databases are copied as they are at one moment.
//
//	key, err := backup.Passphrase(text)
//	m, err := backup.Write(ctx, file, key, backup.Node(cfg, …))
//	m, err = backup.Verify(file, key)
//	m, err = backup.Restore(file, key, backup.Options{})
//
// The file is an age file (https://age-encryption.org/v1), so that age(1) opens it as well. In it is a gzipped tar
// archive: first manifest.json, which has the format's number and of each file its size, mode and SHA-256, then the
// files, below the places that the manifest names. A format with a higher number is refused.
package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
)

// Format is the number of the newest format that is read, and of that which is written.
const Format = 1

// The kinds of a backup.
const (
	KindNode         = "node"
	KindOrganisation = "organisation"
)

// Bounds of what is read: a backup is made here, and a damaged one may not fill a disk.
const (
	manifestFile  = "manifest.json"
	manifestBytes = 16 << 20
	mostFiles     = 100_000
	mostBytes     = 64 << 30
)

// Manifest says what is in a backup.
type Manifest struct {
	Format  int       `json:"format"`
	Kind    string    `json:"kind"` // KindNode or KindOrganisation
	ID      string    `json:"id"`   // of the node, ORGANISATION/NAME, or the organisation
	Made    time.Time `json:"made"`
	Version string    `json:"version"`         // of the program that made it
	Renews  time.Time `json:"renews,omitzero"` // when the node asks for its next certificate; see Stale
	Owner   string    `json:"owner,omitempty"` // user that the files belonged to
	Places  []Place   `json:"places"`
	Files   []File    `json:"files"`
	Notes   []string  `json:"notes,omitempty"` // what is not in it, and has to be kept otherwise
}

// Place is where files of a backup belong on a machine.
type Place struct {
	Name string `json:"name"` // "identity", "data", "config" …
	Path string `json:"path"` // absolute, on the machine of the backup
	// Single says that it is one file, whose name in the backup is that of the place.
	Single bool `json:"single,omitempty"`
}

// File is one file of a backup.
type File struct {
	Name   string      `json:"name"` // PLACE/PATH, with slashes; PLACE for a single file
	Mode   fs.FileMode `json:"mode"` // permissions
	Bytes  int64       `json:"bytes"`
	SHA256 string      `json:"sha256"` // hexadecimal
}

// Stale tells whether a node that joined has probably renewed its certificate since the backup was made. Its identity
// is then of before: the identity service takes it for a copy, and wants a join token (catalyst restore --join).
func (m *Manifest) Stale(now time.Time) bool { return !m.Renews.IsZero() && now.After(m.Renews) }

// check tells what is wrong with a manifest that was read.
func (m *Manifest) check() error {
	if m.Format < 1 || m.Format > Format {
		return fmt.Errorf("the backup has format %d, and this program reads up to %d: use a later catalyst", m.Format, Format)
	}
	if m.Kind != KindNode && m.Kind != KindOrganisation {
		return fmt.Errorf("the backup is of %q: want %s or %s", m.Kind, KindNode, KindOrganisation)
	}
	places := map[string]Place{}
	for _, p := range m.Places {
		if p.Name == "" || strings.ContainsAny(p.Name, `/\`) || !filepath.IsAbs(p.Path) {
			return fmt.Errorf("the backup names a place %q at %q: want a name without slash and an absolute path", p.Name,
				p.Path)
		}
		places[p.Name] = p
	}
	if len(m.Files) > mostFiles {
		return fmt.Errorf("the backup has %d files, more than %d", len(m.Files), mostFiles)
	}
	seen := map[string]bool{}
	var bytes int64
	for _, f := range m.Files {
		place, rest, below := strings.Cut(f.Name, "/")
		p, ok := places[place]
		if !ok || p.Single == below || below && !filepath.IsLocal(rest) || seen[f.Name] || f.Bytes < 0 {
			return fmt.Errorf("the backup has a file %q that belongs nowhere", f.Name)
		}
		seen[f.Name] = true
		if bytes += f.Bytes; bytes > mostBytes {
			return fmt.Errorf("the backup is larger than %d bytes", int64(mostBytes))
		}
	}
	return nil
}

// readManifest reads and checks one.
func readManifest(r io.Reader) (*Manifest, error) {
	text, err := io.ReadAll(io.LimitReader(r, manifestBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > manifestBytes {
		return nil, fmt.Errorf("the backup's manifest is longer than %d bytes", manifestBytes)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("the backup's manifest: %w", err)
	}
	return m, m.check()
}

// Key locks and opens backups. It does not print what is secret in it.
type Key struct {
	recipients []age.Recipient
	identities []age.Identity
}

// String names no secret.
func (*Key) String() string { return "key of backups" }

// shortest is the least number of characters of a passphrase.
const shortest = 12

// Passphrase is a key that people keep. Guessing costs an attacker a second of work and 256 MiB a guess (scrypt,
// RFC 7914), so that it has to be long: less than 12 characters are refused.
func Passphrase(text string) (*Key, error) {
	text = strings.TrimRight(text, "\r\n")
	if len([]rune(text)) < shortest {
		return nil, fmt.Errorf("the passphrase has fewer than %d characters", shortest)
	}
	to, err := age.NewScryptRecipient(text)
	if err != nil {
		return nil, err
	}
	from, err := age.NewScryptIdentity(text)
	if err != nil {
		return nil, err
	}
	return &Key{[]age.Recipient{to}, []age.Identity{from}}, nil
}

// KeyFile is the key in a file that NewKey, or age-keygen(1), wrote. A file that others may read is refused.
func KeyFile(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	k := &Key{}
	if k.identities, err = age.ParseIdentities(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, id := range k.identities {
		switch id := id.(type) {
		case *age.HybridIdentity:
			k.recipients = append(k.recipients, id.Recipient())
		case *age.X25519Identity:
			k.recipients = append(k.recipients, id.Recipient())
		}
	}
	return k, nil
}

// Recipients is a key that locks and does not open: the public half of a key file, as age-keygen -y prints it, one a
// line. Whoever steals a machine that has it only reads no backup.
func Recipients(r io.Reader) (*Key, error) {
	to, err := age.ParseRecipients(r)
	if err != nil {
		return nil, err
	}
	return &Key{recipients: to}, nil
}

// NewKey makes a key and returns its file's text, which is secret, and its public half. It withstands quantum computers
// (ML-KEM-768 with X25519).
func NewKey() (file, public string, err error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return "", "", err
	}
	return fmt.Sprintf("# A key of backups (age). Public half:\n# %s\n%s\n", id.Recipient(), id), id.Recipient().String(),
		nil
}

// open decrypts; what it returns is verified as it is read.
func (k *Key) open(r io.Reader) (io.Reader, error) {
	if len(k.identities) == 0 {
		return nil, errors.New("this key locks backups and does not open them: give the key file or the passphrase")
	}
	plain, err := age.Decrypt(r, k.identities...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return nil, errors.New("the backup was made with another key or passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	return plain, nil
}
