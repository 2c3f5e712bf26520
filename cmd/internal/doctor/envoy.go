package doctor

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/envoy"
)

// dataplane is the Envoy that is there.
type dataplane struct {
	wanted   bool   // this node runs one
	path     string // of the program
	version  string // "1.40.0"; "" if it does not say
	err      error  // why there is none
	replaced bool   // the one that runs was started from another file than lies there now
}

func (e *examination) envoy(ctx context.Context) dataplane {
	c := e.cfg.Node.Envoy
	d := dataplane{wanted: c.Enabled}
	if !d.wanted {
		return d
	}
	if d.path, d.err = envoy.Find(c.Binary); d.err != nil {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.path, "--version").CombinedOutput()
	if err != nil {
		d.err = fmt.Errorf("%s --version: %w: %s", d.path, err, firstLine(string(out)))
		return d
	}
	d.version = versionOf(string(out))
	if r := e.cfg.Running; r != nil && r.EnvoyPID > 0 {
		if from, replaced := ranFrom(r.EnvoyPID); from != "" {
			d.replaced = replaced
		}
	}
	return d
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// versionOf reads what envoy --version prints: "envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL".
func versionOf(out string) string {
	return regexp.MustCompile(`\b\d+\.\d+\.\d+\b`).FindString(out)
}

// older tells whether version a has a lower major or minor number than b.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range 2 {
		m, _ := strconv.Atoi(x[i]) // versionOf saw to it
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m < n
		}
	}
	return false
}

func judgeEnvoy(d dataplane) []Finding {
	f := Finding{checkEnvoy, OK, d.path, "version " + d.version, ""}
	const get = "install the package catalyst-envoy, or name an Envoy with envoy.binary"
	switch {
	case !d.wanted:
		f.Where, f.What = "Envoy", "this node runs none (envoy.enabled)"
	case d.path == "":
		f.State, f.Where, f.What, f.Advice = Wrong, "Envoy", d.err.Error(), get
	case d.err != nil:
		f.State, f.What, f.Advice = Wrong, d.err.Error(), "is it for this machine's processor and C library? "+get
	case d.version == "":
		f.State, f.What = Unknown, "it does not say which version it is"
	case older(d.version, envoy.Tried):
		f.State, f.Advice = Warning, "catalyst is tried with "+envoy.Tried+": "+get
	case d.replaced:
		f.State, f.What = Warning, "version "+d.version+" lies there, and the Envoy that runs was started before that"
		f.Advice = "have it take over when it suits: catalyst drain --wait, stop the node with SIGINT, start it"
	}
	return []Finding{f}
}
