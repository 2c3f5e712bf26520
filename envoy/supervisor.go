package envoy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// SupervisorConfig is what a supervisor needs.
type SupervisorConfig struct {
	Binary    string // required; see Find
	Dir       string // required; bootstrap, log and pid file go here
	Bootstrap BootstrapConfig
	Log       *slog.Logger // required
	// Concurrency is Envoy's worker threads; 0 means 2.
	Concurrency int
}

// Supervisor keeps one Envoy running. The process outlives the control plane: a new supervisor over the same directory adopts it.
type Supervisor struct {
	cfg   SupervisorConfig
	admin *Admin
}

const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
	maxLog     = 64 << 20 // bytes of the log file at which it is begun anew with the next Envoy
)

// NewSupervisor returns a supervisor that does nothing until Run.
func NewSupervisor(cfg SupervisorConfig) *Supervisor {
	return &Supervisor{cfg: cfg, admin: NewAdmin(cfg.Bootstrap.Admin)}
}

// Admin returns the client of the Envoy's admin interface.
func (s *Supervisor) Admin() *Admin { return s.admin }

func (s *Supervisor) pidFile() string { return filepath.Join(s.cfg.Dir, "envoy.pid") }

// Running returns the process id of the Envoy that a supervisor over this directory started, 0 if it does not run.
func (s *Supervisor) Running() int {
	b, err := os.ReadFile(s.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0
	}
	// A pid may have been given to somebody else: the command line has to be that of our Envoy.
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(cmdline), s.bootstrapFile()) {
		return 0
	}
	return pid
}

func (s *Supervisor) bootstrapFile() string { return filepath.Join(s.cfg.Dir, "envoy-bootstrap.json") }

// Run keeps Envoy running until ctx ends, and leaves it running then: see Stop.
func (s *Supervisor) Run(ctx context.Context) error {
	text, err := Bootstrap(s.cfg.Bootstrap)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.bootstrapFile(), text, 0o600); err != nil {
		return fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	backoff := minBackoff
	for {
		began := time.Now()
		pid, err := s.ensure()
		if err != nil {
			s.cfg.Log.Error("Envoy does not start", "error", err, "log", s.logFile())
		} else {
			if !s.wait(ctx, pid) {
				return nil
			}
			s.cfg.Log.Error("Envoy has ended", "pid", pid, "log", s.logFile())
		}
		if time.Since(began) > time.Minute {
			backoff = minBackoff
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (s *Supervisor) logFile() string { return filepath.Join(s.cfg.Dir, "envoy.log") }

// ensure adopts a running Envoy, or starts one.
func (s *Supervisor) ensure() (int, error) {
	if pid := s.Running(); pid != 0 {
		s.cfg.Log.Info("Envoy adopted", "pid", pid)
		return pid, nil
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(s.logFile()); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(s.logFile(), flags, 0o600)
	if err != nil {
		return 0, fmt.Errorf("open Envoy's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	workers := s.cfg.Concurrency
	if workers == 0 {
		workers = 2
	}
	_ = os.Remove(s.cfg.Bootstrap.Admin)
	cmd := exec.Command(s.cfg.Binary, "-c", s.bootstrapFile(), "--disable-hot-restart", "--concurrency", strconv.Itoa(workers), "--log-level", "warn", "--drain-time-s", "60") //nolint:noctx // it is to outlive us
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // signals to our process group are not for it
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", s.cfg.Binary, err)
	}
	pid := cmd.Process.Pid
	go func() { _ = cmd.Wait() }() // reaps it; ends with the process
	if err := os.WriteFile(s.pidFile(), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return pid, fmt.Errorf("write the pid file: %w", err)
	}
	s.cfg.Log.Info("Envoy started", "pid", pid, "binary", s.cfg.Binary)
	return pid, nil
}

// wait returns true when the process has ended, false when ctx has.
func (s *Supervisor) wait(ctx context.Context, pid int) bool {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if !alive(pid) {
				return true
			}
		}
	}
}

// alive tells whether a process runs; one that has ended and waits to be reaped does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return !strings.HasPrefix(after, " Z")
}

// Stop ends the Envoy, with a moment to finish what it has.
func (s *Supervisor) Stop(ctx context.Context) error {
	pid := s.Running()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop Envoy %d: %w", pid, err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), syscall.Kill(pid, syscall.SIGKILL))
		case <-tick.C:
		}
	}
	return os.Remove(s.pidFile())
}
