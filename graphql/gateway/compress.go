package gateway

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// encodings are the content codings of answers, the cheapest for their size first; of those that a client likes
// equally it gets the first.
func encodings() []string { return []string{"zstd", "br", "gzip"} }

// chosen is the content coding that a client gets; "" for none (RFC 9110, 12.5.3).
func chosen(accept string) string {
	best, weight := "", 0.0
	quality := map[string]float64{}
	for item := range strings.SplitSeq(accept, ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(item), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(rest), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil {
				q = 0
			}
		}
		quality[strings.ToLower(strings.TrimSpace(name))] = q
	}
	for _, e := range encodings() {
		q, named := quality[e]
		if !named {
			q = quality["*"]
		}
		if q > weight {
			best, weight = e, q
		}
	}
	return best
}

// encoder compresses an answer.
type encoder interface {
	io.WriteCloser
	Flush() error
}

func newEncoder(name string, w io.Writer) encoder {
	switch name {
	case "zstd":
		e, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(128<<10))
		if err != nil {
			return nil // the options are constants
		}
		return e
	case "br":
		return brotli.NewWriterLevel(w, 4)
	}
	e, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil // the level is a constant
	}
	return e
}

// compressing is a ResponseWriter that compresses what is long enough, and every stream. Its owner calls close.
type compressing struct {
	http.ResponseWriter
	name   string // the coding
	least  int    // bytes that are worth it
	status int    // 0 until it is known
	held   []byte // what was written before it was decided
	enc    encoder
	plain  bool // decided: not compressed
}

// compress wraps a writer if the client takes compressed answers.
func (g *Gateway) compress(w http.ResponseWriter, r *http.Request) (wrapped http.ResponseWriter, finish func()) {
	if g.cfg.CompressFrom < 0 {
		return w, func() {}
	}
	w.Header().Add("Vary", "Accept-Encoding")
	name := chosen(r.Header.Get("Accept-Encoding"))
	if name == "" || r.Method == http.MethodHead {
		return w, func() {}
	}
	c := &compressing{ResponseWriter: w, name: name, least: g.cfg.CompressFrom}
	return c, c.close
}

// Unwrap gives http.ResponseController the deadlines.
func (c *compressing) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader waits until it is known whether the body will be compressed.
func (c *compressing) WriteHeader(status int) {
	switch {
	case status < 200:
		c.ResponseWriter.WriteHeader(status)
	case c.status == 0:
		c.status = status
		if status == http.StatusNoContent || status == http.StatusNotModified || c.Header().Get("Content-Encoding") != "" {
			_ = c.decide(false)
		}
	}
}

// Write holds what is written until there is enough of it to be compressed.
func (c *compressing) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	switch {
	case c.plain:
		return c.ResponseWriter.Write(p)
	case c.enc != nil:
		return c.enc.Write(p)
	case len(c.held)+len(p) < c.least:
		c.held = append(c.held, p...)
		return len(p), nil
	}
	if err := c.decide(true); err != nil {
		return 0, err
	}
	return c.enc.Write(p)
}

// decide sends the header and what was held.
func (c *compressing) decide(compress bool) error {
	if c.plain || c.enc != nil {
		return nil
	}
	if c.status == 0 {
		c.status = http.StatusOK
	}
	held := c.held
	c.held = nil
	if !compress {
		c.plain = true
		c.ResponseWriter.WriteHeader(c.status)
		_, err := c.ResponseWriter.Write(held)
		if len(held) == 0 {
			return nil
		}
		return err
	}
	c.Header().Del("Content-Length")
	c.Header().Set("Content-Encoding", c.name)
	c.ResponseWriter.WriteHeader(c.status)
	c.enc = newEncoder(c.name, c.ResponseWriter)
	_, err := c.enc.Write(held)
	return err
}

// FlushError sends what was written so far: the answer is a stream.
func (c *compressing) FlushError() error {
	if err := c.decide(true); err != nil {
		return err
	}
	if c.enc != nil {
		if err := c.enc.Flush(); err != nil {
			return fmt.Errorf("flush the compressed answer: %w", err)
		}
	}
	return http.NewResponseController(c.ResponseWriter).Flush()
}

// Flush is FlushError for those who do not ask.
func (c *compressing) Flush() { _ = c.FlushError() }

func (c *compressing) close() {
	if c.enc == nil && !c.plain && (c.status != 0 || len(c.held) > 0) {
		_ = c.decide(false)
	}
	if c.enc != nil {
		_ = c.enc.Close() // the client has gone, or the connection says so
	}
}

// errEncoding says that a request is compressed in a way that is not taken.
var errEncoding = errors.New("unknown content coding") //nolint:gochecknoglobals // a sentinel

// decompressed reads a compressed body. What it gives is counted as held, and not what it reads. most bounds the
// decoder's memory.
func decompressed(b *body, coding string, most int64) (io.ReadCloser, error) {
	counted := func(r io.Reader, end func() error) io.ReadCloser {
		b.passing = true
		return &inflated{from: r, body: b, end: end}
	}
	nothing := func() error { return nil }
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return counted(z, z.Close), nil
	case "deflate":
		buffered := bufio.NewReader(b)
		if head, err := buffered.Peek(2); err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			z, err := zlib.NewReader(buffered)
			if err != nil {
				return nil, fmt.Errorf("deflate: %w", err)
			}
			return counted(z, z.Close), nil
		}
		z := flate.NewReader(buffered)
		return counted(z, z.Close), nil
	case "br":
		return counted(brotli.NewReader(b), nothing), nil
	case "zstd":
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(most, 1<<20))))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return counted(z, func() error { z.Close(); return nil }), nil
	}
	return nil, errEncoding
}

// inflated is a decompressed body.
type inflated struct {
	from io.Reader
	body *body
	end  func() error
}

func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.from.Read(p)
	if over := i.body.hold(int64(n)); over != nil {
		return n, over
	}
	return n, err
}

func (i *inflated) Close() error { return i.end() }
