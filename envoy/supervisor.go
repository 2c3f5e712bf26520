package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/bgp/datafile"
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

// Supervisor keeps one Envoy running. The process outlives the control plane: a new supervisor over the same
// directory adopts it.
type Supervisor struct {
	yieldAfter time.Duration // from when an Envoy runs
	cfg        SupervisorConfig
	admin      *Admin
}

const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
	strayTime  = 5 * time.Second // for an Envoy that nothing reaches to end
	maxLog     = 64 << 20        // bytes of the log file at which it is begun anew with the next Envoy
)

// NewSupervisor returns a supervisor that does nothing until Run.
func NewSupervisor(cfg SupervisorConfig) *Supervisor {
	return &Supervisor{cfg: cfg, admin: NewAdmin(cfg.Bootstrap.Admin), yieldAfter: firstFull}
}

// Admin returns the client of the Envoy's admin interface.
func (s *Supervisor) Admin() *Admin { return s.admin }

func (s *Supervisor) pidFile() string { return filepath.Join(s.cfg.Dir, "envoy.pid") }

// Running returns the process id of the Envoy that a supervisor over this directory started, 0 if it does not run. It
// reads envoy.pid, and asks every process for its command line where that says nothing: the file could not be written
// on a full disk, say.
func (s *Supervisor) Running() int {
	if b, err := datafile.Read(s.pidFile(), 64); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err == nil && pid > 1 && s.ours(pid) {
			return pid
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*") // its only error is a bad pattern
	for _, dir := range processes {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && s.ours(pid) {
			return pid
		}
	}
	return 0
}

// ours tells whether a process is an Envoy with our bootstrap: a pid may have been given to somebody else.
func (s *Supervisor) ours(pid int) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(cmdline), "\x00-c\x00"+s.bootstrapFile()+"\x00")
}

func (s *Supervisor) bootstrapFile() string { return filepath.Join(s.cfg.Dir, "envoy-bootstrap.json") }

// Run keeps Envoy running until ctx ends, and leaves it running then: see Stop.
func (s *Supervisor) Run(ctx context.Context) error {
	config := s.cfg.Bootstrap
	files, err := newPressure(config.Overload.Pressure)
	if err != nil { // a full disk, most often: Envoy runs without that protection
		s.cfg.Log.Warn("Envoy is not told how many files it has open", "error", err)
		config.Overload.Pressure = ""
	}
	text, err := Bootstrap(config)
	if err != nil {
		return err
	}
	if err := s.writeBootstrap(text); err != nil {
		return fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	backoff := minBackoff
	for {
		began := time.Now()
		pid, err := s.ensure(ctx)
		if err != nil {
			s.cfg.Log.Error("Envoy does not start", "error", err, "log", s.logFile())
		} else {
			if !s.wait(ctx, pid, files) {
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

// writeBootstrap puts the bootstrap in its place. One that is there already is left: a full disk has no room for
// another.
func (s *Supervisor) writeBootstrap(text []byte) error {
	const limit = 1 << 20
	if old, err := datafile.Read(s.bootstrapFile(), limit); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return datafile.Replace(s.bootstrapFile(), text)
}

// errOther tells that a process has the lock which is no Envoy that we know.
var errOther = errors.New("another process has the lock of this data directory") //nolint:gochecknoglobals // a sentinel

// lock takes the lock of the data directory: flock(2) on the directory itself, so that no disk can be too full for
// it. Envoy inherits it and has it as long as it lives, so that there is never a second one over this directory,
// whatever became of the pid file. It returns nil if somebody has it.
func (s *Supervisor) lock() (*os.File, error) {
	dir, err := os.Open(s.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return dir, nil
	}
	_ = dir.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil //nolint:nilnil // somebody else has it
	}
	return nil, fmt.Errorf("lock the data directory %s: %w", s.cfg.Dir, err)
}

// stray tells whether the Envoy that runs is out of reach, because its data directory was removed and made anew while
// it ran: nothing answers at the place of its admin socket any more, and the lock that it holds is the old directory's.
func (s *Supervisor) stray() bool {
	if _, err := os.Lstat(s.cfg.Bootstrap.Admin); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	lock, err := s.lock()
	if err != nil || lock == nil {
		return false // it holds the lock of this directory, and is about to make its socket
	}
	_ = lock.Close()
	return true
}

// ensure adopts a running Envoy, or starts one.
func (s *Supervisor) ensure(ctx context.Context) (int, error) {
	if pid := s.Running(); pid != 0 {
		if !s.stray() {
			s.cfg.Log.Info("Envoy adopted", "pid", pid)
			return pid, nil
		}
		s.cfg.Log.Warn("the data directory was removed while its Envoy ran: another takes its place", "pid", pid)
		limited, cancel := context.WithTimeout(ctx, strayTime)
		defer cancel()
		if err := s.Stop(limited); err != nil {
			return 0, err
		}
	}
	lock, err := s.lock()
	if err != nil {
		return 0, err
	}
	if lock == nil {
		return 0, fmt.Errorf("%w: see fuser %s", errOther, s.cfg.Dir)
	}
	defer func() { _ = lock.Close() }() // Envoy has it by then
	_ = os.Remove(s.cfg.Bootstrap.Admin)
	pid, err := s.start(lock)
	if err != nil {
		return 0, err
	}
	if err := datafile.Replace(s.pidFile(), []byte(strconv.Itoa(pid))); err != nil {
		s.cfg.Log.Warn("Envoy's pid file is not written; Envoy is found without it", "pid", pid, "error", err)
	}
	s.cfg.Log.Info("Envoy started", "pid", pid, "binary", s.cfg.Binary)
	return pid, nil
}

// start starts an Envoy that holds the lock.
func (s *Supervisor) start(lock *os.File) (int, error) {
	workers := s.cfg.Concurrency
	if workers == 0 {
		workers = 2
	}
	args := []string{"-c", s.bootstrapFile(), "--disable-hot-restart", "--concurrency", strconv.Itoa(workers),
		"--log-level", "warn", "--drain-time-s", "60"}
	cmd := exec.Command(s.cfg.Binary, args...) //nolint:noctx // it is to outlive us
	if log := s.openLog(); log != nil {
		defer func() { _ = log.Close() }()
		cmd.Stdout, cmd.Stderr = log, log
	}
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // signals to our process group are not for it
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", s.cfg.Binary, err)
	}
	go func() { _ = cmd.Wait() }() // reaps it; ends with the process
	return cmd.Process.Pid, nil
}

// openLog opens Envoy's log; nil if it cannot be: Envoy runs without it.
func (s *Supervisor) openLog() *os.File {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(s.logFile()); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := datafile.Open(s.logFile(), flags)
	if err != nil {
		s.cfg.Log.Error("Envoy runs without a log", "error", err)
		return nil
	}
	return log
}

// wait returns true when the process has ended, false when ctx has. Meanwhile it tells Envoy how many files it has
// open, and has its main thread yield to its workers. At the end it says that there is room: an Envoy that runs on
// without its node refuses nothing because of a figure that is out of date.
func (s *Supervisor) wait(ctx context.Context, pid int, files *pressure) bool {
	tick := time.NewTicker(pressureEvery)
	defer tick.Stop()
	complained, yields := false, false
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			if files != nil {
				_ = files.write(0)
			}
			return false
		case <-tick.C:
			if !alive(pid) {
				return true
			}
			yields = yields || time.Since(began) >= s.yieldAfter && yield("/proc", pid)
			if files == nil {
				continue
			}
			if err := files.measure(pid); err != nil && !complained && alive(pid) {
				complained = true
				s.cfg.Log.Warn("how many files Envoy has open is not known", "pid", pid, "error", err)
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
	if err := os.Remove(s.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Warn("Envoy's pid file stays; it is of no process", "error", err)
	}
	return nil
}
