package fib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/xds"
)

// magic begins a file. The number is the format's: a file of another one is not read.
const magic = "catalyst-fib 1\n"

const (
	maxResources = 1 << 21 // of one file
	maxNeeds     = 1 << 10 // of one resource
)

// Kinds of records. What is set and removed takes effect with the next commit.
const (
	recordSet    = 'S'
	recordRemove = 'R'
	recordCommit = 'C'
)

// The types that are kept, by their number in the file. Secrets are not among them.
const (
	numberCluster  = 1
	numberListener = 2
	numberScope    = 3
	numberRoute    = 4
)

// number returns the number of a type in the file; 0 for one that is not kept.
func number(typeURL string) byte {
	switch typeURL {
	case xds.TypeCluster:
		return numberCluster
	case xds.TypeListener:
		return numberListener
	case xds.TypeScope:
		return numberScope
	case xds.TypeRoute:
		return numberRoute
	}
	return 0
}

func typeOf(n byte) (string, error) {
	switch n {
	case numberCluster:
		return xds.TypeCluster, nil
	case numberListener:
		return xds.TypeListener, nil
	case numberScope:
		return xds.TypeScope, nil
	case numberRoute:
		return xds.TypeRoute, nil
	}
	return "", fmt.Errorf("resource type %d is not known", n)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// setBody is the record of a resource.
func setBody(dst []byte, r *xds.Resource) []byte {
	dst = append(dst, recordSet, number(r.Type))
	dst = appendText(dst, r.Name)
	dst = appendText(dst, r.Version)
	dst = appendText(dst, string(r.Service))
	dst = binary.AppendUvarint(dst, uint64(len(r.Needs)))
	for _, n := range r.Needs {
		dst = appendText(dst, n)
	}
	return append(dst, r.Body...)
}

// removeBody is the record of a resource that is gone.
func removeBody(dst []byte, ref xds.Ref) []byte {
	return appendText(append(dst, recordRemove, number(ref.Type)), ref.Name)
}

var (
	errShort = errors.New("record is shorter than what it is for") //nolint:gochecknoglobals // a sentinel
)

// state is what a file says.
type state struct {
	resources map[xds.Ref]*xds.Resource
	// pending is what was set (or removed: nil) since the last commit.
	pending map[xds.Ref]*xds.Resource
}

// read reads a whole file. A file that ends within a group of changes, as it does when the process was killed, gives
// the state before it.
func read(r io.Reader) (map[xds.Ref]*xds.Resource, error) {
	f, err := logfile.NewReader(r, magic)
	if err != nil {
		return nil, fmt.Errorf("is no forwarding state of this version of Catalyst: %w", err)
	}
	s := &state{resources: map[xds.Ref]*xds.Resource{}, pending: map[xds.Ref]*xds.Resource{}}
	for n := 1; ; n++ {
		body, err := f.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, logfile.ErrCutOff):
			return s.resources, nil
		case err != nil:
			return nil, fmt.Errorf("record %d: %w", n, err)
		}
		if err := s.apply(body); err != nil {
			return nil, fmt.Errorf("record %d: %w", n, err)
		}
	}
}

func (s *state) apply(body []byte) error {
	if len(s.pending) > maxResources || len(s.resources) > maxResources {
		return fmt.Errorf("more than %d resources", maxResources)
	}
	switch body[0] {
	case recordSet:
		r, err := readSet(body[1:])
		if err != nil {
			return err
		}
		s.pending[xds.Ref{Type: r.Type, Name: r.Name}] = r
	case recordRemove:
		ref, _, err := readRef(body[1:])
		if err != nil {
			return err
		}
		s.pending[ref] = nil
	case recordCommit:
		for ref, r := range s.pending {
			if r == nil {
				delete(s.resources, ref)
			} else {
				s.resources[ref] = r
			}
		}
		clear(s.pending)
	default:
		return fmt.Errorf("kind %q is not known", body[0])
	}
	return nil
}

func readSet(b []byte) (*xds.Resource, error) {
	ref, b, err := readRef(b)
	if err != nil {
		return nil, err
	}
	r := &xds.Resource{Type: ref.Type, Name: ref.Name}
	var service string
	for _, into := range []*string{&r.Version, &service} {
		if *into, b, err = readText(b); err != nil {
			return nil, err
		}
	}
	r.Service = bgp.Service(service)
	count, size := binary.Uvarint(b)
	if size <= 0 || count > maxNeeds {
		return nil, errShort
	}
	b = b[size:]
	for range count {
		var need string
		if need, b, err = readText(b); err != nil {
			return nil, err
		}
		r.Needs = append(r.Needs, need)
	}
	r.Body = b
	return r, nil
}

func readRef(b []byte) (xds.Ref, []byte, error) {
	if len(b) == 0 {
		return xds.Ref{}, nil, errShort
	}
	t, err := typeOf(b[0])
	if err != nil {
		return xds.Ref{}, nil, err
	}
	name, rest, err := readText(b[1:])
	return xds.Ref{Type: t, Name: name}, rest, err
}

func readText(b []byte) (string, []byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return "", nil, errShort
	}
	return string(b[n : n+int(size)]), b[n+int(size):], nil
}
