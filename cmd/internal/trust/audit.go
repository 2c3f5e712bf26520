package trust

import (
	"encoding/json"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/time/rate"

	"github.com/catalyst-router/catalyst/auth/federation"
)

const (
	auditFile  = "trust-audit.jsonl"
	auditBytes = 8 << 20 // of the file, after which it is moved to auditFile.1
	// What anybody can cause is written down so often and no more; the rest is counted.
	refusalBurst = 100
	refusalsRate = rate.Limit(1)
)

// audit writes down, one JSON object a line, what happened to what is trusted.
type audit struct {
	path string
	log  *slog.Logger
	tell func(federation.Event) // nil for nobody

	mu       sync.Mutex
	refusals *rate.Limiter
	dropped  int // guarded by mu: refusals since the last that was written
}

func newAudit(path string, log *slog.Logger, tell func(federation.Event)) *audit {
	return &audit{path: path, log: log, tell: tell, refusals: rate.NewLimiter(refusalsRate, refusalBurst)}
}

// line is an event with how many were left out before it.
type line struct {
	federation.Event
	LeftOut int `json:"leftOut,omitempty"`
}

func (a *audit) write(e federation.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Action == "refuse" && !a.refusals.Allow() {
		a.dropped++
		return
	}
	b, err := json.Marshal(line{e, a.dropped})
	if err == nil {
		a.dropped = 0
		err = a.append(append(b, '\n'))
	}
	if a.tell != nil {
		a.tell(e)
	}
	if err != nil {
		a.log.Error("the audit of trust cannot be written", "file", a.path, "error", err)
	}
}

func (a *audit) append(b []byte) error {
	if info, err := os.Stat(a.path); err == nil && info.Size() > auditBytes {
		if err := os.Rename(a.path, a.path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
