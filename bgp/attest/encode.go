package attest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Fields of the encodings, which are protobuf's (docs/attestation.md).
const (
	// of a signed manifest
	fieldManifest  = 1
	fieldSignature = 2
	// of a manifest
	fieldOrg       = 1
	fieldSerial    = 2
	fieldNotBefore = 3
	fieldNotAfter  = 4
	fieldKeyID     = 5
	fieldDigest    = 6
	// of a chunk
	fieldEntry = 1
	// of an entry
	fieldNames    = 1
	fieldProtocol = 2
	fieldOrigin   = 3
	fieldCarrier  = 4
	fieldFirst    = 5
)

const (
	wireVarint = 0
	wireBytes  = 2
)

func appendNumber(dst []byte, field int, v uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireVarint) //nolint:gosec // fields are small
	return binary.AppendUvarint(dst, v)
}

func appendBytes[B []byte | string](dst []byte, field int, v B) []byte {
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireBytes) //nolint:gosec // fields are small
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// fields calls number and text for the fields of a message. They have to come in ascending order, numbers in their
// shortest form: a message has one encoding, so that what was signed is what is read.
func fields(b []byte, number func(int, uint64) error, text func(int, []byte) error) error {
	last := uint64(0)
	for len(b) > 0 {
		tag, n := uvarint(b)
		if n == 0 || tag>>3 == 0 || tag>>3 < last {
			return errors.New("a field is cut off or out of order")
		}
		last = tag >> 3
		b = b[n:]
		v, n := uvarint(b)
		if n == 0 {
			return errors.New("a field is cut off")
		}
		b = b[n:]
		var err error
		switch tag & 7 {
		case wireVarint:
			err = number(int(min(last, 1<<20)), v) //nolint:gosec // it is bounded
		case wireBytes:
			if v > uint64(len(b)) {
				return errors.New("a field runs past the end")
			}
			err = text(int(min(last, 1<<20)), b[:v]) //nolint:gosec // it is bounded
			b = b[v:]
		default:
			err = fmt.Errorf("field %d is of no known kind", last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// uvarint reads a number in its shortest form; n is 0 if there is none.
func uvarint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return v, n
}

func noNumber(field int, _ uint64) error { return fmt.Errorf("field %d is none", field) }

// manifest is what is signed.
type manifest struct {
	org                 bgp.Org
	serial              uint64
	notBefore, notAfter time.Time
	keyID               string
	digests             []Digest
}

func (m *manifest) encode() []byte {
	b := appendBytes(nil, fieldOrg, string(m.org))
	b = appendNumber(b, fieldSerial, m.serial)
	b = appendNumber(b, fieldNotBefore, uint64(m.notBefore.Unix())) //nolint:gosec // checked to be after 1970
	b = appendNumber(b, fieldNotAfter, uint64(m.notAfter.Unix()))   //nolint:gosec // as above
	b = appendBytes(b, fieldKeyID, m.keyID)
	for _, d := range m.digests {
		b = appendBytes(b, fieldDigest, d[:])
	}
	return b
}

// maxUnix is the last second that a set may name: the end of the year 9999.
const maxUnix = 253402300799

func decodeManifest(b []byte) (*manifest, error) {
	m := &manifest{}
	err := fields(b, func(f int, v uint64) error {
		switch {
		case f == fieldSerial && v > 0:
			m.serial = v
		case f == fieldNotBefore && v <= maxUnix:
			m.notBefore = time.Unix(int64(v), 0) //nolint:gosec // it is bounded
		case f == fieldNotAfter && v <= maxUnix:
			m.notAfter = time.Unix(int64(v), 0) //nolint:gosec // it is bounded
		default:
			return fmt.Errorf("field %d: %d is not allowed", f, v)
		}
		return nil
	}, func(f int, v []byte) error {
		switch {
		case f == fieldOrg:
			m.org = bgp.Org(v)
		case f == fieldKeyID && len(v) <= maxKeyID:
			m.keyID = string(v)
		case f == fieldDigest && len(v) == len(Digest{}) && len(m.digests) < MaxChunks:
			m.digests = append(m.digests, Digest(v))
		default:
			return fmt.Errorf("field %d is not allowed", f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	head := Set{Org: m.org, Serial: m.serial, NotBefore: m.notBefore, NotAfter: m.notAfter}
	if err := head.Check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if string(m.encode()) != string(b) {
		return nil, errors.New("manifest: is not in its one encoding")
	}
	return m, nil
}

// split returns the manifest and the signature of a signed one.
func split(signed []byte) (body, signature []byte, err error) {
	if len(signed) > MaxManifest {
		return nil, nil, fmt.Errorf("%d bytes: the limit is %d", len(signed), MaxManifest)
	}
	err = fields(signed, noNumber, func(f int, v []byte) error {
		switch {
		case f == fieldManifest && body == nil:
			body = v
		case f == fieldSignature && signature == nil:
			signature = v
		default:
			return fmt.Errorf("field %d is not allowed", f)
		}
		return nil
	})
	if err == nil && (body == nil || signature == nil) {
		err = errors.New("has no manifest or no signature")
	}
	return body, signature, err
}

func encodeEntry(e *Entry) []byte {
	b := appendBytes(nil, fieldNames, e.Names)
	for _, p := range e.Protocols {
		b = appendNumber(b, fieldProtocol, uint64(p))
	}
	for _, o := range e.Origins {
		b = appendBytes(b, fieldOrigin, o)
	}
	for _, c := range e.Carriers {
		b = appendBytes(b, fieldCarrier, c)
	}
	for _, n := range e.Neighbours {
		b = appendBytes(b, fieldFirst, n)
	}
	return b
}

// chunksOf encodes entries. A chunk ends where an entry's name says so, so that a list with one entry more has the same
// chunks but one or two.
func chunksOf(entries []Entry) [][]byte {
	var all [][]byte
	var chunk []byte
	for i := range entries {
		e := appendBytes(nil, fieldEntry, encodeEntry(&entries[i]))
		if len(chunk)+len(e) > MaxChunk || len(chunk) > MaxChunk/2 && sumOf([]byte(entries[i].Names))[0] < 4 {
			all, chunk = append(all, chunk), nil
		}
		chunk = append(chunk, e...)
	}
	if chunk != nil {
		all = append(all, chunk)
	}
	return all
}

// decodeRules reads what an entry says after its names.
func decodeRules(b []byte) (Entry, error) {
	var e Entry
	err := fields(b, func(f int, v uint64) error {
		if f != fieldProtocol || len(e.Protocols) >= int(bgp.GraphQL) || v > uint64(bgp.GraphQL) {
			return fmt.Errorf("field %d is not allowed", f)
		}
		e.Protocols = append(e.Protocols, bgp.Protocol(v))
		return nil
	}, func(f int, v []byte) error {
		switch {
		case f == fieldOrigin && len(e.Origins) < MaxList:
			e.Origins = append(e.Origins, string(v))
		case f == fieldCarrier && len(e.Carriers) < MaxList:
			e.Carriers = append(e.Carriers, string(v))
		case f == fieldFirst && len(e.Neighbours) < MaxList:
			e.Neighbours = append(e.Neighbours, string(v))
		default:
			return fmt.Errorf("field %d is not allowed", f)
		}
		return nil
	})
	return e, err
}
