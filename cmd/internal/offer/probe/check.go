package probe

import (
	"fmt"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Kind is how a workload is asked.
type Kind uint8

// The kinds.
const (
	None Kind = iota // not at all: its health is unknown, and counts as up
	TCP              // a connection is taken
	HTTP             // GET of a path is answered 200 to 399
	GRPC             // grpc.health.v1.Health/Check is answered SERVING
)

// Limits and defaults of a check.
const (
	DefaultInterval = 5 * time.Second
	DefaultTimeout  = 2 * time.Second
	DefaultRise     = 1
	DefaultFall     = 2
	MinInterval     = 100 * time.Millisecond
	MaxInterval     = time.Hour
	MinTimeout      = 10 * time.Millisecond
	MaxThreshold    = 100
	maxArgument     = 2048 // characters of a path or of a gRPC service's name
)

// Check is how a service is checked. The zero value is no check.
type Check struct {
	Kind Kind
	// Argument is the path for HTTP, beginning with a slash; for gRPC the service to ask for, "" for the server as a
	// whole.
	Argument string
	// Interval is the time between two checks, Timeout how long one may take; zero means 5s and the lower of 2s and
	// Interval.
	Interval, Timeout time.Duration
	// Rise is how many successes in a row make a service that is down up, Fall how many failures make it down; zero
	// means 1 and 2. The very first result decides alone.
	Rise, Fall int
}

// Parse reads a check as an operator spells it: "http:/path" (or the path alone), "grpc" or "grpc:SERVICE", "tcp"; ""
// and "none" for no check.
func Parse(text string) (Check, error) {
	kind, argument, more := strings.Cut(text, ":")
	if strings.HasPrefix(text, "/") {
		kind, argument, more = "http", text, true
	}
	if len(argument) > maxArgument {
		return Check{}, fmt.Errorf("longer than %d characters", maxArgument)
	}
	for _, r := range argument {
		if r <= ' ' || r >= 0x7f {
			return Check{}, fmt.Errorf("%q: want printable ASCII without spaces", argument)
		}
	}
	switch kind {
	case "", "none":
		return Check{}, nil
	case "tcp":
		if !more {
			return Check{Kind: TCP}, nil
		}
	case "grpc":
		return Check{Kind: GRPC, Argument: argument}, nil
	case "http":
		return Check{Kind: HTTP, Argument: "/" + strings.TrimPrefix(argument, "/")}, nil
	}
	return Check{}, fmt.Errorf("%q: want http:/PATH, grpc, grpc:SERVICE, tcp or none", text)
}

// String returns the form that Parse reads.
func (c Check) String() string {
	switch {
	case c.Kind == TCP:
		return "tcp"
	case c.Kind == HTTP:
		return "http:" + c.Argument
	case c.Kind == GRPC && c.Argument == "":
		return "grpc"
	case c.Kind == GRPC:
		return "grpc:" + c.Argument
	}
	return ""
}

// Validate reports every rule that a check breaks.
func (c Check) Validate(p bgp.Protocol) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Kind == HTTP && (p == bgp.TCP || p == bgp.GRPC) {
		bad("health: an HTTP path cannot be asked of a service of protocol %s: want tcp%s", p,
			map[bool]string{true: " or grpc"}[p == bgp.GRPC])
	}
	if c.Kind == GRPC && p != bgp.GRPC {
		bad("health: grpc.health.v1 cannot be asked of a service of protocol %s", p)
	}
	if d := c.Interval; d != 0 && (d < MinInterval || d > MaxInterval) {
		bad("healthInterval: %s: want %s to %s", d, MinInterval, MaxInterval)
	}
	if d := c.Timeout; d != 0 && (d < MinTimeout || d > c.withDefaults().Interval) {
		bad("healthTimeout: %s: want %s to the interval, %s", d, MinTimeout, c.withDefaults().Interval)
	}
	if c.Rise < 0 || c.Rise > MaxThreshold {
		bad("healthRise: %d: want 1 to %d, or 0 for %d", c.Rise, MaxThreshold, DefaultRise)
	}
	if c.Fall < 0 || c.Fall > MaxThreshold {
		bad("healthFall: %d: want 1 to %d, or 0 for %d", c.Fall, MaxThreshold, DefaultFall)
	}
	if c.Kind == None && (c.Interval != 0 || c.Timeout != 0 || c.Rise != 0 || c.Fall != 0) {
		bad("health: want http:/PATH, grpc or tcp where an interval, a timeout or a threshold is given")
	}
	return errs
}

func (c Check) withDefaults() Check {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Timeout == 0 {
		c.Timeout = min(DefaultTimeout, c.Interval)
	}
	if c.Rise == 0 {
		c.Rise = DefaultRise
	}
	if c.Fall == 0 {
		c.Fall = DefaultFall
	}
	return c
}
