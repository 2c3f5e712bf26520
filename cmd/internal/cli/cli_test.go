package cli

import (
	"context"
	"net"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"catalyst": func() {
			os.Exit(Main(context.Background(), os.Args[1:], console.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, "test"))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		// $PORT and $PORT2 are free on loopback: each script's own.
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"PORT", "PORT2"} {
				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				defer l.Close()
				_, port, err := net.SplitHostPort(l.Addr().String())
				if err != nil {
					return err
				}
				e.Setenv(name, port)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// status WANT COMMAND...: the command ends with that exit status.
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				want := args[0]
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = err.Error()[len("exit status "):]
				}
				if got != want {
					ts.Fatalf("exit status %s, want %s", got, want)
				}
			},
			// until TEXT COMMAND...: repeats the command until it prints the text.
			"until": until,
		},
	})
}

// The reference page is what the code says.
func TestReferenceIsFresh(t *testing.T) {
	got, err := os.ReadFile("../../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != config.Reference() {
		t.Error("docs/reference/configuration.md is stale: run make generate")
	}
}
