package fib

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/xds"
)

// magic begins a file. The number is the format's: a file of another one is not read.
const magic = "catalyst-fib 1\n"

const (
	maxResources = 1 << 21 // of one file
	maxChanges   = 1 << 22 // of one group
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
	// resources are in the order in which they were set; nil for one that was removed.
	resources []*xds.Resource
	at        map[xds.Ref]int // where each of them is
	// pending is what was set or removed since the last commit.
	pending []change
	needs   needs
}

// change is a resource that was set, or removed: nil.
type change struct {
	ref xds.Ref
	r   *xds.Resource
}

// needs are those that were read last, and how they stood in the file. Services that have the same next hops need the
// same, and there are many of them.
type needs struct {
	text []byte
	all  []string
}

// read reads a whole file. A file that ends within a group of changes, as it does when the process was killed, gives
// the state before it.
func read(r io.Reader) ([]*xds.Resource, error) {
	f, err := logfile.NewReader(r, magic)
	if err != nil {
		return nil, fmt.Errorf("is no forwarding state of this version of Catalyst: %w", err)
	}
	s := &state{at: map[xds.Ref]int{}}
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
	if len(s.pending) > maxChanges || len(s.at) > maxResources {
		return fmt.Errorf("more than %d resources, or %d changes at once", maxResources, maxChanges)
	}
	switch body[0] {
	case recordSet:
		r, err := s.readSet(body[1:])
		if err != nil {
			return err
		}
		s.pending = append(s.pending, change{xds.Ref{Type: r.Type, Name: r.Name}, r})
	case recordRemove:
		ref, _, err := readRef(body[1:])
		if err != nil {
			return err
		}
		s.pending = append(s.pending, change{ref: ref})
	case recordCommit:
		for _, c := range s.pending {
			s.commit(c)
		}
		s.pending = s.pending[:0]
	default:
		return fmt.Errorf("kind %q is not known", body[0])
	}
	return nil
}

// commit takes a change.
func (s *state) commit(c change) {
	at, known := s.at[c.ref]
	switch {
	case known && c.r == nil:
		s.resources[at] = nil
		delete(s.at, c.ref)
	case known:
		s.resources[at] = c.r
	case c.r != nil:
		s.at[c.ref] = len(s.resources)
		s.resources = append(s.resources, c.r)
	}
}

func (s *state) readSet(b []byte) (*xds.Resource, error) {
	ref, b, err := readRef(b)
	if err != nil {
		return nil, err
	}
	r := &xds.Resource{Type: ref.Type, Name: ref.Name}
	if r.Version, b, err = readText(b); err != nil {
		return nil, err
	}
	service, b, err := readBytes(b)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(r.Name, string(service)) { // as it does of most: once in memory is enough
		r.Service = bgp.Service(r.Name[len(r.Name)-len(service):])
	} else {
		r.Service = bgp.Service(service)
	}
	if r.Needs, b, err = s.readNeeds(b); err != nil {
		return nil, err
	}
	r.Body = b
	return r, nil
}

// readNeeds reads what a resource needs. It is not to be changed: others may share it.
func (s *state) readNeeds(b []byte) (all []string, rest []byte, err error) {
	if last := s.needs.text; len(last) > 0 && bytes.HasPrefix(b, last) {
		return s.needs.all, b[len(last):], nil
	}
	count, size := binary.Uvarint(b)
	if size <= 0 || count > maxNeeds {
		return nil, nil, errShort
	}
	rest = b[size:]
	for range count {
		var need string
		if need, rest, err = readText(rest); err != nil {
			return nil, nil, err
		}
		all = append(all, need)
	}
	s.needs = needs{b[:len(b)-len(rest)], all}
	return all, rest, nil
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
	text, rest, err := readBytes(b)
	return string(text), rest, err
}

// readBytes returns a text as a part of the record.
func readBytes(b []byte) (text, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errShort
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}
