package cli

import (
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func until(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if strings.Contains(out, args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q is not in %q (%v)", args[0], out, err)
		}
		<-tick.C
	}
}
