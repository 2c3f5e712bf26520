package extauthz

import (
	"errors"
	"fmt"
	"unicode/utf8"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
)

// codec is gRPC's own, with a short way for the two messages of every check: of a question it takes only what this
// package looks at, and an answer is written without looking up what a message consists of. The rest of either costs
// more than the decision between them.
type codec struct {
	encoding.CodecV2
	reads map[string]bool // headers of a question, by their names in lower case
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	q, ok := v.(*auth.CheckRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return (&questionOf{reads: c.reads}).request(b.ReadOnlyData(), q)
}

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*auth.CheckResponse); ok {
		if b, ok := answer(r); ok {
			return mem.BufferSlice{mem.SliceBuffer(b)}, nil
		}
	}
	return c.CodecV2.Marshal(v)
}

// questionOf is a CheckRequest in one piece (see grant). Texts are copied, so that nobody keeps a whole question for a
// part of it.
type questionOf struct {
	attributes auth.AttributeContext
	source     auth.AttributeContext_Peer
	asked      auth.AttributeContext_Request
	http       auth.AttributeContext_HttpRequest
	headers    core.HeaderMap
	session    auth.AttributeContext_TLSSession
	reads      map[string]bool
}

func (q *questionOf) request(b []byte, out *auth.CheckRequest) error {
	return fields(b, func(n protowire.Number, v []byte) error {
		if n != 1 {
			return nil
		}
		out.Attributes = &q.attributes
		return fields(v, q.attribute)
	})
}

func (q *questionOf) attribute(n protowire.Number, v []byte) error {
	switch n {
	case 1:
		q.attributes.Source = &q.source
		return fields(v, func(n protowire.Number, v []byte) error {
			if n == 5 {
				return text(v, &q.source.Certificate)
			}
			return nil
		})
	case 4:
		q.attributes.Request = &q.asked
		return fields(v, func(n protowire.Number, v []byte) error {
			if n != 2 {
				return nil
			}
			q.asked.Http = &q.http
			return fields(v, q.httpField)
		})
	case 10:
		return entry(v, &q.attributes.ContextExtensions, nil)
	case 12:
		q.attributes.TlsSession = &q.session
		return fields(v, func(n protowire.Number, v []byte) error {
			if n == 1 {
				return text(v, &q.session.Sni)
			}
			return nil
		})
	}
	return nil
}

func (q *questionOf) httpField(n protowire.Number, v []byte) error {
	switch n {
	case 2:
		return text(v, &q.http.Method)
	case 3:
		return entry(v, &q.http.Headers, q.reads)
	case 4:
		return text(v, &q.http.Path)
	case 5:
		return text(v, &q.http.Host)
	case 13:
		q.http.HeaderMap = &q.headers
		return fields(v, func(n protowire.Number, v []byte) error {
			if n == 1 {
				return q.header(v)
			}
			return nil
		})
	}
	return nil
}

func (q *questionOf) header(b []byte) error {
	var key, value, raw []byte
	err := fields(b, func(n protowire.Number, v []byte) error {
		switch n {
		case 1:
			key = v
		case 2:
			value = v
		case 3:
			raw = v
		}
		return nil
	})
	if err != nil || !q.reads[string(key)] {
		return err
	}
	h := &core.HeaderValue{Key: string(key)}
	if len(raw) > 0 {
		h.RawValue = append([]byte(nil), raw...)
	}
	q.headers.Headers = append(q.headers.Headers, h)
	return text(value, &h.Value)
}

// entry adds an entry of a map of texts; with names, only if it has one of those.
func entry(b []byte, to *map[string]string, names map[string]bool) error {
	var key, value []byte
	err := fields(b, func(n protowire.Number, v []byte) error {
		switch n {
		case 1:
			key = v
		case 2:
			value = v
		}
		return nil
	})
	if err != nil || names != nil && !names[string(key)] {
		return err
	}
	var k, v string
	if err := errors.Join(text(key, &k), text(value, &v)); err != nil {
		return err
	}
	if *to == nil {
		*to = map[string]string{}
	}
	(*to)[k] = v
	return nil
}

func text(b []byte, to *string) error {
	if !utf8.Valid(b) {
		return errors.New("a text of a check is not UTF-8")
	}
	*to = string(b)
	return nil
}

// fields goes through the fields of a message that are messages or texts, and passes over the others.
func fields(b []byte, f func(n protowire.Number, v []byte) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("a check cannot be read: %w", protowire.ParseError(size))
		}
		b = b[size:]
		var v []byte
		if kind == protowire.BytesType {
			v, size = protowire.ConsumeBytes(b)
		} else {
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return fmt.Errorf("a check cannot be read: %w", protowire.ParseError(size))
		}
		b = b[size:]
		if kind != protowire.BytesType {
			continue
		}
		if err := f(n, v); err != nil {
			return err
		}
	}
	return nil
}

// answer writes an answer that lets a request through; false for any other, and for one with something in it that
// answers of this package do not have.
func answer(r *auth.CheckResponse) (b []byte, ok bool) {
	out, ok := r.GetHttpResponse().(*auth.CheckResponse_OkResponse)
	if !ok || !plain(r, out.OkResponse) {
		return nil, false
	}
	b = within(make([]byte, 0, answerSize), 1, func(b []byte) []byte { return writeStatus(b, r.GetStatus()) })
	b = within(b, 3, func(b []byte) []byte {
		for _, h := range out.OkResponse.GetHeaders() {
			b = within(b, 2, func(b []byte) []byte { return writeOption(b, h) })
		}
		for _, name := range out.OkResponse.GetHeadersToRemove() {
			b = put(b, 5, name)
		}
		return b
	})
	if r.GetDynamicMetadata() == nil {
		return b, true
	}
	return within(b, 4, func(b []byte) []byte {
		for k, v := range r.GetDynamicMetadata().GetFields() {
			b = within(b, 1, func(b []byte) []byte {
				return within(put(b, 1, k), 2, func(b []byte) []byte { return put(b, 3, v.GetStringValue()) })
			})
		}
		return b
	}), true
}

// plain tells whether an answer has nothing in it but what answer writes.
func plain(r *auth.CheckResponse, ok *auth.OkHttpResponse) bool {
	for _, h := range ok.GetHeaders() {
		if h.GetAppend() != nil || h.GetKeepEmptyValue() || len(h.GetHeader().GetRawValue()) > 0 { //nolint:staticcheck // it may be set
			return false
		}
	}
	for _, v := range r.GetDynamicMetadata().GetFields() {
		if _, text := v.GetKind().(*structpb.Value_StringValue); !text {
			return false
		}
	}
	return r.GetStatus() != nil && len(r.GetStatus().GetDetails()) == 0 && ok.GetDynamicMetadata() == nil && //nolint:staticcheck // as above
		len(ok.GetResponseHeadersToAdd())+len(ok.GetQueryParametersToSet())+len(ok.GetQueryParametersToRemove()) == 0
}

const answerSize = 768 // bytes, of which most answers have fewer

func writeStatus(b []byte, s *status.Status) []byte {
	if s.GetCode() != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), uint64(s.GetCode())) //nolint:gosec // as proto has it
	}
	if s.GetMessage() != "" {
		b = put(b, 2, s.GetMessage())
	}
	return b
}

func writeOption(b []byte, h *core.HeaderValueOption) []byte {
	b = within(b, 1, func(b []byte) []byte { return put(put(b, 1, h.GetHeader().GetKey()), 2, h.GetHeader().GetValue()) })
	return protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(h.GetAppendAction())) //nolint:gosec // as above
}

func put(b []byte, n protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), text)
}

// within writes a message as field n: what f appends, and its length before it.
func within(b []byte, n protowire.Number, f func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	start := len(b)
	b = f(b)
	size := len(b) - start
	var length [10]byte
	prefix := protowire.AppendVarint(length[:0], uint64(size)) //nolint:gosec // a length
	b = append(b, prefix...)
	copy(b[start+len(prefix):], b[start:start+size])
	copy(b[start:], prefix)
	return b
}
