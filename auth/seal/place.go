package seal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
)

// Place says where a sealing key is kept. The zero value is nowhere: nothing is sealed, and what is sealed cannot be
// read.
type Place struct {
	Key  string // the key itself, as Generate writes it; secret
	File string // if there is no Key: a file that the operator keeps, which has to be there
	Own  string // if there is neither: the machine's own file, which is made when something is sealed first
	// Clear has secrets written in clear; what is sealed is read still.
	Clear bool
}

// String tells where the key is, and not what.
func (p Place) String() string {
	switch {
	case p.Key != "":
		return "a sealing key that was given"
	case p.File != "":
		return "the sealing key in " + p.File
	case p.Own != "":
		return "the sealing key in " + p.Own
	}
	return "no sealing key"
}

// MarshalText is String. A log in JSON would show the fields otherwise, and the key among them.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// GoString is String.
func (p Place) GoString() string { return p.String() }

// Opener returns what opens sealed secrets. It makes no key: one that were made now would open nothing.
func (p Place) Opener() (*Sealer, error) { return p.sealer(false) }

// Sealer returns what seals secrets; nil if they are to be written in clear.
func (p Place) Sealer() (*Sealer, error) {
	if p.Clear || p == (Place{}) {
		return nil, nil //nolint:nilnil // nothing is sealed
	}
	return p.sealer(true)
}

func (p Place) sealer(mayCreate bool) (*Sealer, error) {
	switch {
	case p.Key != "":
		return New(p.Key)
	case p.File == "" && p.Own == "":
		return nil, errors.New("no sealing key was given")
	}
	s, err := FromFile(cmp.Or(p.File, p.Own), mayCreate && p.File == "")
	if errors.Is(err, fs.ErrNotExist) { // not wrapped: what is sealed is there
		err = fmt.Errorf("%s: bring that file back from where you keep it, or give the key that was used (seal-key)",
			err.Error())
	}
	return s, err
}
