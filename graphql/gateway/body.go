package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The pace that a request's body must keep: so many bytes a second after a time of grace. A client that is slower, or
// says nothing, is told 408 (RFC 9110 §15.5.9), and costs neither memory nor a place among the operations.
const (
	bodyGrace = 10 * time.Second
	bodyPace  = 16 << 10 // bytes a second
)

// errBodies says that the bodies of all requests together are too large.
var errBodies = errors.New("too many bytes of requests are held") //nolint:gochecknoglobals // a sentinel

// body reads the body of a request.
type body struct {
	from    io.Reader
	control *http.ResponseController
	began   time.Time
	read    int64
	passing bool          // what is read is not held
	own     int64         // bytes held
	held    *atomic.Int64 // bytes held for all requests
	most    int64         // that may be
}

// newBody returns the body of a request. The caller must call its release when nothing of it is held any more.
func (g *Gateway) newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{
		from:    r.Body,
		control: http.NewResponseController(w),
		began:   time.Now(),
		held:    &g.held,
		most:    g.cfg.MaxBodies,
	}
}

func (b *body) Read(p []byte) (int, error) {
	// a writer without deadlines is a test's
	_ = b.control.SetReadDeadline(b.began.Add(bodyGrace + time.Duration(b.read)*time.Second/bodyPace))
	n, err := b.from.Read(p)
	b.read += int64(n)
	if !b.passing {
		if over := b.hold(int64(n)); over != nil {
			return n, over
		}
	}
	return n, err
}

// hold counts bytes that are held.
func (b *body) hold(n int64) error {
	b.own += n
	if b.held.Add(n) > b.most {
		return errBodies
	}
	return nil
}

// Close ends the reading: from then on the connection may be silent.
func (b *body) Close() error { return b.control.SetReadDeadline(time.Time{}) }

// release gives back what was held.
func (b *body) release() { b.held.Add(-b.own) }

// unread explains why a body could not be read.
func (g *Gateway) unread(err error) *failure {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "The request is larger than %d bytes.", large.Limit)
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return refuse(http.StatusRequestEntityTooLarge, CodeTooLarge,
			"The request needs more than %d bytes to be decompressed.", g.cfg.MaxBody)
	case errors.Is(err, errBodies):
		return refuse(http.StatusServiceUnavailable, CodeOverloaded,
			"The requests in flight are too large together.").with("Retry-After", "1").with("Connection", "close")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, CodeTimeout, "The request's body came too slowly.").with("Connection",
			"close")
	}
	return refuse(http.StatusBadRequest, CodeBadRequest, "The request's body could not be read.").with("Connection",
		"close")
}
