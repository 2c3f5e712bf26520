// Package dockerd runs a Docker Engine of a test's own: its files are in a temporary folder, its networks and mounts in
// namespaces of its own, and nothing of it is left. It wants root, and dockerd, docker and runc of Debian's docker.io.
//
//	func TestMain(m *testing.M) { os.Exit(dockerd.Apart(m.Run)) } // the tests, and the engine, are in a network of
//
// their own
//
//	…
//	engine, err := dockerd.Start(ctx)
//	defer engine.Stop()
//	err = engine.Image(ctx, "serve", "/path/of/a/static/program")
package dockerd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// User is whom the images of the Compose files run as.
const User = 65532

// apart is set in the process that Apart starts.
const apart = "CATALYST_TEST_APART"

// Apart runs the tests of a package in network and mount namespaces of their own, so that the networks and the firewall
// of the engine are not those of the machine, and end with the tests. It returns the exit status.
func Apart(run func() int) int {
	if os.Getenv(apart) != "" {
		out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput() //nolint:noctx // at once
		if err != nil {
			fmt.Fprintln(os.Stderr, "set loopback up:", err, string(out))
			return 1
		}
		return run()
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...) //nolint:gosec,noctx // this program
	cmd.Env = append(os.Environ(), apart+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "these tests run Docker in namespaces of their own and want root for it:", err)
		return 1
	}
	return 0
}

// Engine is a running dockerd.
type Engine struct {
	Dir, Socket string
	cmd         *exec.Cmd
	done        chan struct{}
}

// Start starts an engine and waits until it answers.
func Start(ctx context.Context) (*Engine, error) {
	dir, err := os.MkdirTemp("", "dockerd")
	if err != nil {
		return nil, err
	}
	e := &Engine{Dir: dir, Socket: filepath.Join(dir, "d.sock")}
	if err := e.Run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return e, nil
}

// Run starts the engine again after End.
func (e *Engine) Run(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(e.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	e.cmd = exec.Command(
		"dockerd",
		"--data-root",
		filepath.Join(e.Dir, "data"), //nolint:noctx // End ends it
		"--exec-root",
		filepath.Join(e.Dir, "exec"),
		"--pidfile",
		filepath.Join(e.Dir, "pid"),
		"-H",
		"unix://"+e.Socket,
		"--shutdown-timeout",
		"2",
		"--live-restore",
		"--bip",
		"10.213.0.1/24",
		"--default-address-pool",
		"base=10.214.0.0/16,size=24",
	)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd (apt-get install docker.io): %w", err)
	}
	e.done = make(chan struct{})
	cmd, done := e.cmd, e.done
	go func() { _ = cmd.Wait(); close(done) }() // ends with the process
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err := e.CLI(ctx, "version"); err == nil {
			return nil
		}
		select {
		case <-done:
			text, _ := os.ReadFile(filepath.Join(e.Dir, "log"))
			return fmt.Errorf("dockerd has ended: %s", text[max(0, len(text)-2000):])
		case <-ctx.Done():
			return errors.Join(errors.New("dockerd does not answer"), e.End())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// End ends the engine and keeps its files. Containers run on (--live-restore).
func (e *Engine) End() error {
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("dockerd does not end"), e.cmd.Process.Kill())
	}
}

// Stop ends the engine and its containers, and removes everything of it.
func (e *Engine) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ids, err := e.CLI(ctx, "ps", "-aq")
	if all := strings.Fields(ids); len(all) > 0 {
		_, err = e.CLI(ctx, append([]string{"rm", "-f"}, all...)...)
	}
	err = errors.Join(err, e.End())
	_ = syscall.Unmount(filepath.Join(e.Dir, "data"), syscall.MNT_DETACH) // left there by --live-restore
	return errors.Join(err, os.RemoveAll(e.Dir))
}

// CLI runs a command of docker and returns what it printed; an error holds what it complained of.
func (e *Engine) CLI(ctx context.Context, args ...string) (string, error) {
	return e.Exec(ctx, nil, "docker", args...)
}

// Exec runs a program that speaks with the engine, such as docker-compose.
func (e *Engine) Exec(ctx context.Context, stdin io.Reader, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+e.Socket)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err,
			strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Image makes an image of programs, each at the root under its own name; the first is its entry point.
func (e *Engine) Image(ctx context.Context, name string, programs ...string) error {
	files := map[string]string{}
	for _, path := range programs {
		files["/"+filepath.Base(path)] = path
	}
	return e.Import(ctx, name, files, `ENTRYPOINT ["/`+filepath.Base(programs[0])+`"]`)
}

// Import makes an image of files, by their paths in it, and instructions of a Dockerfile. A path without a file is a
// directory.
func (e *Engine) Import(ctx context.Context, name string, files map[string]string, instructions ...string) error {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(archive(w, files)) }() // ends when Exec has read it all, or closed it
	defer func() { _ = r.Close() }()
	args := []string{"import"}
	for _, in := range instructions {
		args = append(args, "--change", in)
	}
	_, err := e.Exec(ctx, r, "docker", append(args, "-", name)...)
	return err
}

func archive(w io.Writer, files map[string]string) error {
	t := tar.NewWriter(w)
	for at, path := range files {
		if path == "" { // a directory of the user that images run as
			h := &tar.Header{Name: at + "/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: User, Gid: User}
			if err := t.WriteHeader(h); err != nil {
				return err
			}
			continue
		}
		f, err := os.Open(path) //nolint:gosec // the test says which
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = t.WriteHeader(&tar.Header{Name: at, Mode: int64(info.Mode().Perm()) | 0o444, Size: info.Size()})
		}
		if err == nil {
			_, err = io.Copy(t, f)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return t.Close()
}

// Address is the IP of a container in its only network.
func (e *Engine) Address(ctx context.Context, container string) (net.IP, error) {
	out, err := e.CLI(ctx, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(strings.TrimSpace(out))
	if ip == nil {
		return nil, fmt.Errorf("container %s has no address: %q", container, out)
	}
	return ip, nil
}
