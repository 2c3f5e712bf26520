//go:build e2e

package containers

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// churnFor is how long containers come and go: make containers FOR=10m.
var churnFor = flag.Duration(
	"for",
	8*time.Second,
	"how long containers come and go",
) //nolint:gochecknoglobals // a flag

// late is how long after its end a container may still be sent a call.
const late = time.Second

// Containers of a service come and go once a second while it is called. No call is sent to one that has been gone for
// more than a second, nothing is announced twice, and nothing is left.
func TestContainersComeAndGo(t *testing.T) {
	e := engine(t)
	must(t, e.Image(t.Context(), "serve", program(t, "./e2e/examples/serve")))
	n := node(t, "--discover", "docker="+e.Socket)
	c := &lab.Churn{}
	var running []string
	start := func() {
		name := fmt.Sprintf("books-%d", c.Lives()+1)
		at := run(t, e, name, "-l", "catalyst.service=books", "-l", "catalyst.port=8080")
		c.Began(at, time.Now().Add(-10*time.Second)) // it ran before docker said so
		running = append(running, name+" "+at)
	}
	stop := func() {
		name, at, _ := strings.Cut(running[0], " ")
		running = running[1:]
		_, err := e.CLI(t.Context(), "rm", "-f", name)
		must(t, err)
		c.Ended(at)
	}
	start()
	start()
	calls(t, n, "books", 200)

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() { c.Call(ctx, n, "books.acme.example", "/books") })
	}
	changed := 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(*churnFor); time.Now().Before(end); changed += 2 {
		<-tick.C
		start()
		stop()
	}
	cancel()
	load.Wait()
	for len(running) > 0 {
		stop()
		changed++
	}
	offered(t, n)
	astray, err := c.Astray(n, late)
	must(t, err)
	for _, call := range astray {
		t.Error(call)
	}
	if puts := changes(t, n); puts > changed+6 {
		t.Errorf("%d containers came or went, and the node changed what it offers %d times", changed, puts)
	}
	nothingLeft(t, n)
	made, failed := c.Calls()
	t.Logf("%d changes, %d calls, %d failed", changed, made, failed)
	if failed > made/200 {
		t.Errorf("%d of %d calls failed", failed, made)
	}
}

// nothingLeft looks for what a service that is gone may have left.
func nothingLeft(t *testing.T, n *lab.Node) {
	t.Helper()
	var routes []struct{ Service string }
	must(t, n.JSON(t.Context(), &routes, "route", "list"))
	if len(routes) > 0 {
		t.Errorf("routes are left: %+v", routes)
	}
	status(t, n, lab.Source.Empty)
}
