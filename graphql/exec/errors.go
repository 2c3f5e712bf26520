package exec

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The values of `extensions.code`. A code that a subgraph gives its own error is kept.
const (
	// CodeDownstream is an error that a subgraph reported without a code.
	CodeDownstream = "DOWNSTREAM_SERVICE_ERROR"
	// CodeUnreachable means that no connection could be made, or that it broke before the answer was complete.
	CodeUnreachable = "SUBREQUEST_UNREACHABLE"
	// CodeHTTP means an HTTP status other than 2xx, with a body that is no GraphQL response; `extensions.http.status`
	// has it.
	CodeHTTP = "SUBREQUEST_HTTP_ERROR"
	// CodeMalformed means a body that is no GraphQL response, or has no `data` though nothing failed, or entities that
	// do not fit the question.
	CodeMalformed = "SUBREQUEST_MALFORMED_RESPONSE"
	// CodeTooLarge means that a limit on bytes or values was reached.
	CodeTooLarge = "SUBREQUEST_TOO_LARGE"
	// CodeTimeout means that the subgraph's or the operation's time was over.
	CodeTimeout = "SUBREQUEST_TIMEOUT"
	// CodeCancelled means that the client went away.
	CodeCancelled = "SUBREQUEST_CANCELLED"
	// CodeUnknownSubgraph means that the plan names a subgraph the executor does not know.
	CodeUnknownSubgraph = "SUBGRAPH_UNKNOWN"
	// CodeUpload means that a file of the client could not be read.
	CodeUpload = "UPLOAD_FAILED"
	// CodeNull is a null or a missing value where the schema allows none.
	CodeNull = "NULL_FOR_NON_NULL"
	// CodeInvalidValue is a value of the wrong type, an unknown enum value, or an object of an impossible type.
	CodeInvalidValue = "INVALID_SUBGRAPH_VALUE"
	// CodeResponseTooLarge means that the response to the client would be too large.
	CodeResponseTooLarge = "RESPONSE_TOO_LARGE"
	// CodeUnauthorized is a part of the operation that the caller may not see.
	CodeUnauthorized = "UNAUTHORIZED_FIELD_OR_TYPE" //nolint:misspell // as other gateways spell it
	// CodeStream is the end of a stream that did not end by itself.
	CodeStream = "SUBSCRIPTION_INTERRUPTED"
	// CodeSlowConsumer is the end of a stream whose client reads too slowly.
	CodeSlowConsumer = "SUBSCRIPTION_SLOW_CONSUMER"
)

// fetchError is why a request to a subgraph failed as a whole.
type fetchError struct {
	code   string
	text   string // for clients: no addresses
	status int    // HTTP status, or 0
	cause  error  // for operators
}

// clientPath is a response path as the client sees it.
type clientPath struct {
	json []byte // the elements, with commas but without brackets
	// hashes[i] stands for the first i elements, whose JSON is json[:ends[i]].
	hashes []uint64
	ends   []int
}

func (p *clientPath) reset() {
	p.json = p.json[:0]
	p.hashes = append(p.hashes[:0], pathSeed)
	p.ends = append(p.ends[:0], 0)
}

// set makes p equal to q.
func (p *clientPath) set(q *clientPath) {
	p.json = append(p.json[:0], q.json...)
	p.hashes = append(p.hashes[:0], q.hashes...)
	p.ends = append(p.ends[:0], q.ends...)
}

// pop removes the last element.
func (p *clientPath) pop() {
	n := len(p.hashes) - 1
	p.hashes, p.ends = p.hashes[:n], p.ends[:n]
	p.json = p.json[:p.ends[n-1]]
}

// keepCommon cuts p to what it has in common with q.
func (p *clientPath) keepCommon(q *clientPath) {
	n := 0
	for n < len(p.hashes) && n < len(q.hashes) && p.hashes[n] == q.hashes[n] {
		n++
	}
	p.hashes, p.ends = p.hashes[:n], p.ends[:n]
	p.json = p.json[:p.ends[n-1]]
}

func (p *clientPath) key(key string) {
	p.comma()
	p.json = appendQuoted(p.json, key)
	p.hashes = append(p.hashes, hashKey(p.last(), key))
	p.ends = append(p.ends, len(p.json))
}

func (p *clientPath) index(i int) {
	p.comma()
	p.json = strconv.AppendInt(p.json, int64(i), 10)
	p.hashes = append(p.hashes, hashIndex(p.last(), i))
	p.ends = append(p.ends, len(p.json))
}

func (p *clientPath) last() uint64 { return p.hashes[len(p.hashes)-1] }

func (p *clientPath) comma() {
	if len(p.json) > 0 {
		p.json = append(p.json, ',')
	}
}

// The hashes of paths are FNV-1a over keys and indices. They only decide whether an error is already told: equal ones
// cost a message.
const (
	pathSeed  = 14695981039346656037
	pathPrime = 1099511628211
)

func hashKey(h uint64, key string) uint64 {
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * pathPrime
	}
	return (h ^ 0x1ff) * pathPrime
}

func hashIndex(h uint64, i int) uint64 { return (h ^ uint64(i)<<9 ^ 0x2ff) * pathPrime }

// errorList collects the errors of one response.
type errorList struct {
	buf     []byte
	entries []errorEntry
	max     int
	mode    ErrorMode
	dropped int
	// failed has the paths below which whatever is absent is explained by a failed request; told those at or below which
	// an error has been reported. Both are hashes.
	failed, told map[uint64]struct{}
}

// errorEntry is one error: an object in buf.
type errorEntry struct {
	request    int // errors come in the order of requests; those found while printing have the highest
	begin, end int
	subgraph   bool // reported by the subgraph, so that ErrorMode applies
	service    string
	only       condition // the error is told if it holds
}

// settle leaves out the errors of fields that nobody is told of: they were fetched before it was known of which type
// their object is.
func (l *errorList) settle(t *tree) {
	l.entries = slices.DeleteFunc(l.entries, func(e errorEntry) bool { return !e.only.holds(t) })
}

func (l *errorList) reset(max int, mode ErrorMode) {
	l.buf, l.entries, l.max, l.mode, l.dropped = l.buf[:0], l.entries[:0], max, mode, 0
	clear(l.failed)
	clear(l.told)
}

// shrink gives up memory that an unusual operation has needed.
func (l *errorList) shrink() {
	if cap(l.buf) > keepBytes {
		l.buf = nil
	}
	if len(l.told) > 1<<10 || len(l.failed) > 1<<10 {
		l.told, l.failed = nil, nil
	}
}

func (l *errorList) count() int {
	n := len(l.entries)
	if l.dropped > 0 {
		n++
	}
	return n
}

// flush forgets the errors, but not what they explain.
func (l *errorList) flush() { l.buf, l.entries, l.dropped = l.buf[:0], l.entries[:0], 0 }

// swap puts the errors from own on before those from before on.
func (l *errorList) swap(before, own int) {
	l.entries = append(l.entries[:before], slices.Concat(l.entries[own:], l.entries[before:own])...)
}

// room reports whether one more error may be added, and counts it as dropped otherwise.
func (l *errorList) room() bool {
	if len(l.entries) < l.max {
		return true
	}
	l.dropped++
	return false
}

// fail notes that what is absent below the path is explained.
func (l *errorList) fail(h uint64) {
	if l.failed == nil {
		l.failed = map[uint64]struct{}{}
	}
	l.failed[h] = struct{}{}
}

// tell notes that an error at the path has been reported.
func (l *errorList) tell(p *clientPath) {
	if l.told == nil {
		l.told = map[uint64]struct{}{}
	}
	for _, h := range p.hashes {
		l.told[h] = struct{}{}
	}
}

// simple adds an error of the gateway itself. A nil path is left out.
func (l *errorList) simple(request int, service, code, text string, status int, path *clientPath) {
	if path != nil {
		l.tell(path)
	}
	if !l.room() {
		return
	}
	if l.mode == Masked && service != "" {
		service, text, status = "", maskedText, 0
	}
	begin := len(l.buf)
	l.buf = appendError(l.buf, service, code, text, status, path)
	l.entries = append(l.entries, errorEntry{request: request, begin: begin, end: len(l.buf), service: service})
}

// maskedText stands for all that Masked hides.
const maskedText = "A subgraph could not answer this part of the operation."

func appendError(b []byte, service, code, text string, status int, path *clientPath) []byte {
	b = append(b, `{"message":`...)
	b = appendQuoted(b, text)
	b = appendPath(b, path)
	b = append(b, `,"extensions":{"code":`...)
	b = appendQuoted(b, code)
	if service != "" {
		b = append(b, `,"serviceName":`...)
		b = appendQuoted(b, service)
	}
	if status != 0 {
		b = append(b, `,"http":{"status":`...)
		b = strconv.AppendInt(b, int64(status), 10)
		b = append(b, '}')
	}
	return append(b, "}}"...)
}

func appendPath(b []byte, path *clientPath) []byte {
	if path == nil || len(path.json) == 0 {
		return b
	}
	b = append(b, `,"path":[`...)
	b = append(b, path.json...)
	return append(b, ']')
}

// append writes `,"errors":[…]` if there are any.
func (l *errorList) append(dst []byte) []byte {
	if l.count() == 0 {
		return dst
	}
	slices.SortStableFunc(l.entries, func(a, b errorEntry) int { return cmp.Compare(a.request, b.request) })
	dst = append(dst, `,"errors":[`...)
	for i := 0; i < len(l.entries); {
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		n := 1
		if l.mode == Wrapped && l.entries[i].subgraph {
			dst, n = l.wrapped(dst, i)
		} else {
			dst = append(dst, l.buf[l.entries[i].begin:l.entries[i].end]...)
		}
		i += n
	}
	if l.dropped > 0 {
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"message":"`...)
		dst = strconv.AppendInt(dst, int64(l.dropped), 10)
		dst = append(dst, ` more errors were left out."}`...)
	}
	return append(dst, ']')
}

// wrapped writes one error around those that one request brought, beginning with entry i. It returns their number.
func (l *errorList) wrapped(dst []byte, i int) ([]byte, int) {
	n := 1
	for i+n < len(l.entries) && l.entries[i+n].subgraph && l.entries[i+n].request == l.entries[i].request {
		n++
	}
	service := l.entries[i].service
	dst = append(dst, `{"message":`...)
	dst = appendQuoted(dst, "Subgraph '"+service+"' reported errors.")
	dst = append(dst, `,"extensions":{"code":"`+CodeDownstream+`","serviceName":`...)
	dst = appendQuoted(dst, service)
	dst = append(dst, `,"errors":[`...)
	for k, en := range l.entries[i : i+n] {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, l.buf[en.begin:en.end]...)
	}
	return append(dst, "]}}"...), n
}

// appendQuoted appends s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	plain := utf8.ValidString(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20 && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(append(dst, '"'), s...), '"')
	}
	b, err := json.Marshal(s) // only what cannot be copied comes here
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, b...)
}
