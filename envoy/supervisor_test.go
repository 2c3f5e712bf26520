package envoy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// supervised starts a supervisor over dir, which is stopped, with its Envoy, at the end.
func supervised(t *testing.T, dir string, change ...func(*Supervisor)) *Supervisor {
	t.Helper()
	binary, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSupervisor(SupervisorConfig{
		Binary:      binary,
		Dir:         dir,
		Concurrency: 1,
		Log:         slog.New(slog.NewTextHandler(t.Output(), nil)),
		Bootstrap: BootstrapConfig{
			NodeID: "spiffe://acme.example/node/a",
			ADS:    filepath.Join(dir, "ads.sock"),
			Admin:  filepath.Join(dir, "admin.sock"),
		},
	})
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		stop, end := context.WithTimeout(context.Background(), 10*time.Second)
		defer end()
		if err := errors.Join(<-done, s.Stop(stop)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// envoys returns the processes that run with a bootstrap of dir.
func envoys(t *testing.T, dir string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if b, err := os.ReadFile(filepath.Join(p, "cmdline")); err == nil && strings.Contains(string(b), "-c\x00"+dir+"/") {
			pids = append(pids, filepath.Base(p))
		}
	}
	return pids
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within 60s: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Eight Envoys ran after 40 seconds once, because each found no pid file of the one before. However the pid file
// fares, and whatever lies in the log's place, there is one Envoy over a data directory, a later process adopts it,
// and there is another only when it has ended.
func TestOneEnvoyWithoutItsPidFile(t *testing.T) {
	dir, err := os.MkdirTemp("", "sup") // short: a socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.MkdirAll(filepath.Join(dir, "envoy.pid", "full"), 0o700); err != nil { // nothing can be put in its place
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "envoy.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := supervised(t, dir)
	until(t, "Envoy answers", func() bool { return answers(first) })
	pid := first.Running()
	for range 2 {
		later := supervised(t, dir)
		until(t, "it is adopted", func() bool { return later.Running() == pid })
	}
	// The kernel's lock holds even against one who does not find it.
	if lock, err := first.lock(); err != nil || lock != nil {
		t.Errorf("the lock is free while Envoy runs: %v, %v", lock, err)
	}
	if got := envoys(t, dir); len(got) != 1 || got[0] != fmt.Sprint(pid) {
		t.Errorf("Envoys %v run, want %d alone", got, pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another runs", func() bool { p := first.Running(); return p != 0 && p != pid && answers(first) })
	if got := envoys(t, dir); len(got) != 1 {
		t.Errorf("Envoys %v run, want one", got)
	}
}

// Somebody removes the data directory of a node whose Envoy goes on, and starts over: that Envoy would be adopted, and
// never be ready, since its sockets went with the directory. Another takes its place.
func TestAnEnvoyWhoseDirectoryWasRemoved(t *testing.T) {
	dir, err := os.MkdirTemp("", "sup") // short: a socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := supervised(t, dir)
	until(t, "Envoy answers", func() bool { return answers(s) })
	stray := s.Running()
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir + ".gone") })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	later := supervised(t, dir)
	until(t, "another answers", func() bool { return answers(later) && later.Running() != stray })
	if alive(stray) {
		t.Errorf("Envoy %d runs on, which nothing reaches", stray)
	}
}

// A stranger with the lock keeps Envoy from being started, which is said.
func TestTheLockIsTheLaw(t *testing.T) {
	s := NewSupervisor(SupervisorConfig{Binary: "/bin/false", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	lock, err := s.lock()
	if err != nil || lock == nil {
		t.Fatalf("%v, %v", lock, err)
	}
	if _, err := s.ensure(t.Context()); !errors.Is(err, errOther) {
		t.Errorf("got %v, want %v", err, errOther)
	}
	_ = lock.Close()
	if lock, err := s.lock(); err != nil || lock == nil {
		t.Errorf("the lock is not free again: %v", err)
	}
}

// A bootstrap that is there as it has to be is not written: a full disk does not keep Envoy from its start.
func TestBootstrapIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := NewSupervisor(SupervisorConfig{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err := s.writeBootstrap([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(s.bootstrapFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.writeBootstrap([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(s.bootstrapFile()); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again: %v", err)
	}
}

// answers tells whether an Envoy answers at its admin interface.
func answers(s *Supervisor) bool {
	_, err := s.Admin().Get(context.Background(), "/server_info")
	return err == nil
}
