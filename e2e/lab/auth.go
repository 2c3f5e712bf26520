package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/e2e/free"
)

// process is one that runs beside the nodes.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// OrgDir is the organisation's directory.
func (l *Lab) OrgDir() string { return filepath.Join(l.Dir, "org") }

// StartAuth starts the organisation's identity service, with further flags of catalyst auth, and waits until it
// answers. Started again it has the same address.
func (l *Lab) StartAuth(ctx context.Context, flags ...string) error {
	if l.Auth == "" {
		found, err := free.Ports(1)
		if err != nil {
			return err
		}
		l.Auth = "127.0.0.1:" + strconv.Itoa(found[0])
	}
	log, err := os.OpenFile(filepath.Join(l.Dir, "auth.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := append([]string{"auth", "--dir", l.OrgDir(), "--listen", l.Auth}, flags...)
	cmd := exec.Command(l.Binary, args...) //nolint:noctx // StopAuth ends it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the identity service: %w", err)
	}
	p := &process{cmd, make(chan struct{})}
	l.auth = p
	go func() { _ = cmd.Wait(); close(p.done) }() // ends with the process
	return Eventually(ctx, "the identity service answers", func(ctx context.Context) error {
		select {
		case <-p.done:
			text, _ := os.ReadFile(filepath.Join(l.Dir, "auth.log"))
			return fmt.Errorf("it has ended: %s", text[max(0, len(text)-1000):])
		default:
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(l.OrgDir(), "auth.sock"))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// StopAuth sends the identity service a signal and waits until it has ended.
func (l *Lab) StopAuth(sig syscall.Signal) error {
	if l.auth == nil {
		return nil
	}
	p := l.auth
	l.auth = nil
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(15 * time.Second):
		return errors.Join(errors.New("the identity service does not end"), p.cmd.Process.Kill())
	}
}

// OrgCLI runs a catalyst command about the organisation: catalyst org, token, keys or audit.
func (l *Lab) OrgCLI(ctx context.Context, args ...string) (string, error) {
	out, err := l.Run(ctx, append(args, "--dir", l.OrgDir())...)
	return strings.TrimSpace(out), err
}

// admit lets a node into the organisation: by a join token that it is to use at its start, or by hand.
func (l *Lab) admit(ctx context.Context, n *Node) error {
	if l.Auth == "" {
		_, err := l.OrgCLI(ctx, "org", "issue-node", n.Name, "--out", filepath.Join(n.Dir, "identity"))
		return err
	}
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return err
	}
	token, err := l.OrgCLI(ctx, "org", "join-token", "--node", n.Name)
	if err != nil {
		return err
	}
	file := filepath.Join(n.Dir, "join")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return err
	}
	n.Flags = append(n.Flags[:len(n.Flags):len(n.Flags)], "--join", "@"+file)
	return nil
}
