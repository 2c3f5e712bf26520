package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// params are the parameters of one GraphQL request
// (https://graphql.github.io/graphql-over-http/draft/#sec-Request-Parameters).
type params struct {
	query, operationName string
	documentID           string // of a persisted document
	variables            map[string]json.RawMessage
	extensions           extensions
	files                []*uploaded  // those that this operation has to drop
	marks                []uploadMark // where files stand in variables
}

// extensions are those that the gateway knows.
type extensions struct {
	PersistedQuery *struct {
		Version int    `json:"version"`
		Hash    string `json:"sha256Hash"`
	} `json:"persistedQuery"`
	// Cost asks for the cost figures of the operation.
	Cost bool `json:"cost"`
}

// readParams reads a request. batched says that the client sent a list and wants one back.
func (g *Gateway) readParams(w http.ResponseWriter, r *http.Request,
	b *body) (all []params, batched bool, fail *failure) {
	switch r.Method {
	case http.MethodGet:
		p, fail := fromURL(r.URL.RawQuery)
		return []params{p}, false, fail
	case http.MethodPost:
		return g.fromBody(w, r, b)
	}
	return nil, false, refuse(http.StatusMethodNotAllowed, CodeMethod, "Use GET or POST, not %s.",
		clip(r.Method)).with("Allow", "GET, POST, OPTIONS")
}

// fromURL reads a GET request.
func fromURL(raw string) (params, *failure) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return params{}, refuse(http.StatusBadRequest, CodeBadRequest, "The query string of the URL cannot be read: %v.", err)
	}
	p := params{
		query:         q.Get("query"),
		operationName: q.Get("operationName"),
		documentID:    cmp.Or(q.Get("documentId"), q.Get("id")),
	}
	for _, v := range []string{p.query, p.operationName, q.Get("variables"), q.Get("extensions")} {
		if !utf8.ValidString(v) {
			return params{}, refuse(http.StatusBadRequest, CodeBadRequest, "The parameters are not UTF-8.")
		}
	}
	if v := q.Get("variables"); v != "" {
		if fail := object("variables", []byte(v), &p.variables); fail != nil {
			return params{}, fail
		}
	}
	if v := q.Get("extensions"); v != "" {
		if fail := object("extensions", []byte(v), &p.extensions); fail != nil {
			return params{}, fail
		}
	}
	return p, p.complete()
}

// fromBody reads a POST request.
func (g *Gateway) fromBody(w http.ResponseWriter, r *http.Request, b *body) ([]params, bool, *failure) {
	mediaType, fields, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") == "" {
		return nil, false, refuse(http.StatusUnsupportedMediaType, CodeMediaType,
			"The Content-Type header is missing: use application/json.").with("Accept-Post", typeJSON)
	}
	charset := fields["charset"]
	switch {
	case err != nil, mediaType != typeJSON && mediaType != "multipart/form-data":
		return nil, false, refuse(http.StatusUnsupportedMediaType, CodeMediaType,
			"The Content-Type is not supported: use application/json.").with("Accept-Post", typeJSON)
	case charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8"):
		return nil, false, refuse(http.StatusUnsupportedMediaType, CodeMediaType,
			"The character set %s is not supported: use utf-8.", clip(charset)).with("Accept-Post", typeJSON)
	case compressed(r) && mediaType != typeJSON:
		return nil, false, refuse(http.StatusUnsupportedMediaType, CodeMediaType,
			"Compressed forms are not supported.").with("Accept-Encoding", "identity")
	case mediaType == "multipart/form-data":
		return g.fromForm(w, b, fields["boundary"])
	}
	var from io.ReadCloser = b
	if compressed(r) {
		if from, err = decompressed(b, r.Header.Get("Content-Encoding"), g.cfg.MaxBody); err != nil {
			return nil, false, g.undecoded(err)
		}
		defer from.Close() //nolint:errcheck // nothing is read after it
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, from, g.cfg.MaxBody))
	if err != nil {
		return nil, false, g.unread(err)
	}
	_ = b.Close() // a writer without deadlines is a test's
	return g.decode(text)
}

// compressed reports whether a request's body is.
func compressed(r *http.Request) bool {
	coding := r.Header.Get("Content-Encoding")
	return coding != "" && !strings.EqualFold(coding, "identity")
}

// undecoded explains why a compressed body could not be read.
func (g *Gateway) undecoded(err error) *failure {
	if errors.Is(err, errEncoding) {
		return refuse(http.StatusUnsupportedMediaType, CodeMediaType,
			"The request's content coding is not supported.").with("Accept-Encoding", "gzip, br, zstd, deflate")
	}
	return refuse(http.StatusBadRequest, CodeBadRequest,
		"The request's body cannot be decompressed.").with("Connection", "close")
}

// decode reads a JSON body: one request, or a list of them where that is allowed.
func (g *Gateway) decode(body []byte) ([]params, bool, *failure) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if !utf8.Valid(body) {
		return nil, false, refuse(http.StatusBadRequest, CodeBadRequest, "The request's body is not UTF-8.")
	}
	if len(body) == 0 {
		return nil, false, refuse(http.StatusBadRequest, CodeBadRequest, "The request has no body.")
	}
	if body[0] != '[' {
		p, fail := decodeOne(body)
		return []params{p}, false, fail
	}
	if g.cfg.MaxBatch == 0 {
		return nil, false, refuse(http.StatusBadRequest, CodeBatching,
			"Lists of operations are not allowed: send one operation a request.")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, false, notJSON(err)
	}
	if len(list) == 0 || len(list) > g.cfg.MaxBatch {
		return nil, false, refuse(http.StatusBadRequest, CodeBatching,
			"A list of operations may hold 1 to %d of them, not %d.", g.cfg.MaxBatch, len(list))
	}
	all := make([]params, len(list))
	for i, one := range list {
		var fail *failure
		if all[i], fail = decodeOne(one); fail != nil {
			return nil, false, fail
		}
	}
	return all, true, nil
}

func notJSON(err error) *failure {
	return refuse(http.StatusBadRequest, CodeBadRequest, "The request's body is not JSON: %v.", err)
}

// decodeOne reads the parameters out of a JSON object.
func decodeOne(body []byte) (params, *failure) {
	var raw struct {
		Query         json.RawMessage `json:"query"`
		OperationName json.RawMessage `json:"operationName"`
		Variables     json.RawMessage `json:"variables"`
		Extensions    json.RawMessage `json:"extensions"`
		DocumentID    json.RawMessage `json:"documentId"`
		ID            json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return params{}, refuse(http.StatusBadRequest, CodeBadRequest,
				"The request's body must be a JSON object, not %s.", article(kind.Value))
		}
		return params{}, notJSON(err)
	}
	if bytes.Equal(body, []byte("null")) {
		return params{}, refuse(http.StatusBadRequest, CodeBadRequest, "The request's body must be a JSON object, not null.")
	}
	var p params
	var id string
	for _, f := range []struct {
		name string
		raw  json.RawMessage
		into any
		kind string
	}{
		{"query", raw.Query, &p.query, "a string"}, {"operationName", raw.OperationName, &p.operationName, "a string"},
		{"documentId", raw.DocumentID, &p.documentID, "a string"}, {"id", raw.ID, &id, "a string"},
		{"variables", raw.Variables, &p.variables, "an object"}, {"extensions", raw.Extensions, &p.extensions, "an object"},
	} {
		if f.raw == nil {
			continue
		}
		if err := json.Unmarshal(f.raw, f.into); err != nil {
			return params{}, refuse(http.StatusBadRequest, CodeBadRequest, "The parameter %s must be %s%s.", f.name, f.kind,
				inside(err))
		}
	}
	p.documentID = cmp.Or(p.documentID, id)
	return p, p.complete()
}

// object reads a parameter that is a JSON object.
func object(name string, raw []byte, into any) *failure {
	if err := json.Unmarshal(raw, into); err != nil {
		return refuse(http.StatusBadRequest, CodeBadRequest, "The parameter %s must be a JSON object%s.", name, inside(err))
	}
	return nil
}

// inside names the place below a parameter where a value is of the wrong type.
func inside(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return fmt.Sprintf(", and %s in it cannot be %s", kind.Field, article(kind.Value))
	}
	return ""
}

func article(kind string) string {
	kind, _, _ = strings.Cut(kind, " ")
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "a boolean"
	}
	return "a " + kind
}

// complete checks that the request names a document.
func (p *params) complete() *failure {
	if p.query == "" && p.documentID == "" && p.extensions.PersistedQuery == nil {
		return refuse(http.StatusBadRequest, CodeBadRequest, "The parameter query is missing.")
	}
	return nil
}

// clip is a piece of foreign text, fit for an error message.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}
