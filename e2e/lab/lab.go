// Package lab runs an organisation on one machine, of real processes on loopback: catalyst nodes, each with its
// Envoy, configured through the command line as an operator would. The demo and the end-to-end tests stand on it.
package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/free"
)

// Lab is an organisation's CA and the nodes that it issued.
type Lab struct {
	Dir    string // short: Unix sockets lie below it
	Binary string
	Org    string
	Nodes  map[string]*Node
	Env    []string // KEY=VALUE for nodes that are started from then on, besides the test's own

	// Auth is HOST:PORT of the organisation's identity service once StartAuth has started it: nodes that are added then
	// join by tokens. "" before: their certificates are issued by hand.
	Auth string
	auth *process
}

// Node is one node: its addresses, and its process while it runs.
type Node struct {
	Name, Dir                       string
	Peering, Ingress, Egress, Admin string
	Gateway                         string // HOST:PORT of the GraphQL gateway
	Ports                           string // pool of TCP ports
	Flags                           []string
	lab                             *Lab
	cmd                             *exec.Cmd
	done                            chan struct{}
}

// Binary returns the catalyst that is tried: $CATALYST_BINARY, or that of make build below the module's root.
func Binary(root string) (string, error) {
	if path := os.Getenv("CATALYST_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	return filepath.Abs(filepath.Join(root, "bin", "catalyst"))
}

// New makes an organisation in a directory of its own.
func New(ctx context.Context, binary, org string) (*Lab, error) {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, Binary: binary, Org: org, Nodes: map[string]*Node{}}
	if _, err := l.Run(ctx, "org", "init", org, "--dir", filepath.Join(dir, "org")); err != nil {
		return nil, err
	}
	return l, nil
}

// Close ends every node and its Envoy, and removes the files.
func (l *Lab) Close() error {
	var errs []error
	for _, n := range l.Nodes {
		errs = append(errs, n.Stop(syscall.SIGINT))
		n.KillEnvoy()
	}
	errs = append(errs, l.StopAuth(syscall.SIGTERM))
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}

// Run runs a catalyst command and returns what it printed; an error holds what it complained of.
func (l *Lab) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.Binary, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("catalyst %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Add issues a node and starts it, with further flags of catalyst node.
func (l *Lab) Add(ctx context.Context, name string, flags ...string) (*Node, error) {
	found, err := free.Ports(5 + 4)
	if err != nil {
		return nil, err
	}
	at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(found[i]) }
	n := &Node{
		Name:    name,
		Dir:     filepath.Join(l.Dir, name),
		Peering: at(0),
		Ingress: at(1),
		Egress:  at(2),
		Admin:   at(3),
		Gateway: at(4),
		lab:     l,
		Flags:   flags,
		Ports:   fmt.Sprintf("[%d, %d, %d, %d]", found[5], found[6], found[7], found[8]),
	}
	if err := l.admit(ctx, n); err != nil {
		return nil, err
	}
	l.Nodes[name] = n
	return n, n.Start(ctx)
}

// Start starts the node's process and waits until it answers.
func (n *Node) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(n.Dir, "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := append([]string{"node", "--identity", filepath.Join(n.Dir, "identity"), "--data", filepath.Join(n.Dir, "data"),
		"--peering-listen", n.Peering, "--envoy-ingress", n.Ingress, "--envoy-egress", n.Egress, "--admin", n.Admin,
		"--gateway-listen", n.Gateway, "--envoy-tcp-ports", n.Ports,
		"--envoy-access-log", filepath.Join(n.Dir, "access.log"), "--envoy-workers", "1", "--peering-deferral", "10s",
		"--log-level", "debug"}, n.Flags...)
	n.cmd = exec.Command(n.lab.Binary, args...) //nolint:noctx // Stop ends it
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.Env = append(os.Environ(), n.lab.Env...)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start node %s: %w", n.Name, err)
	}
	done := make(chan struct{})
	n.done = done
	cmd := n.cmd
	go func() { _ = cmd.Wait(); close(done) }() // ends with the process
	return Eventually(ctx, "node "+n.Name+" is ready", func(ctx context.Context) error {
		select {
		case <-done:
			text, _ := os.ReadFile(filepath.Join(n.Dir, "node.log"))
			return fmt.Errorf("node %s has ended: %s", n.Name, text[max(0, len(text)-2000):])
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			return fmt.Errorf("not ready: %s", why)
		}
		return nil
	})
}

// Stop sends the node's process a signal and waits until it has ended. SIGKILL and SIGTERM leave its Envoy running.
func (n *Node) Stop(sig syscall.Signal) error {
	if n.cmd == nil {
		return nil
	}
	select {
	case <-n.done:
		return nil
	default:
	}
	if err := n.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-n.done:
		return nil
	case <-time.After(15 * time.Second):
		return errors.Join(fmt.Errorf("node %s does not end", n.Name), n.cmd.Process.Kill())
	}
}

// Pause stops the node's process in its tracks (SIGSTOP), as a machine does that swaps; its Envoy runs on. Resume
// lets it go on.
func (n *Node) Pause() error { return n.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (n *Node) Resume() error { return n.cmd.Process.Signal(syscall.SIGCONT) }

// Lab returns the organisation that the node belongs to.
func (n *Node) Lab() *Lab { return n.lab }

// ID is the node's.
func (n *Node) ID() bgp.NodeID { return bgp.NodeID{Org: bgp.Org(n.lab.Org), Name: n.Name} }

// PID returns the process id of the node, which has been started.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// EnvoyPID returns the process id of the node's Envoy, 0 if it never had one.
func (n *Node) EnvoyPID() int {
	b, err := os.ReadFile(filepath.Join(n.Dir, "data", "envoy.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// KillEnvoy kills the node's Envoy, if it runs.
func (n *Node) KillEnvoy() {
	pid := n.EnvoyPID()
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && strings.Contains(string(cmdline), n.lab.Dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// CLI runs a catalyst command against the node.
func (n *Node) CLI(ctx context.Context, args ...string) (string, error) {
	return n.lab.Run(ctx, append([]string{"--socket", filepath.Join(n.Dir, "data", "catalyst.sock")}, args...)...)
}

// Said runs a catalyst command against the node and returns what it said to the operator besides its output.
func (n *Node) Said(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.lab.Binary,
		append([]string{"--socket", filepath.Join(n.Dir, "data", "catalyst.sock")}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	return said.String(), err
}

// JSON runs a catalyst command against the node and reads its answer.
func (n *Node) JSON(ctx context.Context, into any, args ...string) error {
	out, err := n.CLI(ctx, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// Peer makes two nodes peers; a dials.
func Peer(ctx context.Context, a, b *Node) error {
	if _, err := b.CLI(ctx, "peer", "add", a.Name); err != nil {
		return err
	}
	_, err := a.CLI(ctx, "peer", "add", b.Name, b.Peering)
	return err
}

// Get asks a service by name through the node's HTTP egress, as an application beside it would.
func (n *Node) Get(ctx context.Context, service, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Egress+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = service
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(b), err
}

// Query sends an operation to the node's GraphQL gateway, with a bearer token if one is given, and returns the whole
// answer.
func (n *Node) Query(ctx context.Context, operation string, token ...string) (string, error) {
	body, err := json.Marshal(map[string]string{"query": operation})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.Gateway+"/graphql", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if len(token) > 0 {
		req.Header.Set("Authorization", "Bearer "+token[0])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return strings.TrimSpace(string(b)), err
}

// TCPPort returns the loopback port of a TCP service at the node.
func (n *Node) TCPPort(ctx context.Context, service string) (string, error) {
	var r struct{ Port int }
	if err := n.JSON(ctx, &r, "route", "show", service); err != nil {
		return "", err
	}
	if r.Port == 0 {
		return "", fmt.Errorf("%s has no port at %s", service, n.Name)
	}
	return fmt.Sprintf("127.0.0.1:%d", r.Port), nil
}

// Patience is how long Eventually tries.
const Patience = 30 * time.Second

// Eventually calls try until it succeeds, and says why it did not when patience is over.
func Eventually(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		now := try(ctx)
		if now == nil {
			return nil
		}
		if ctx.Err() == nil || err == nil { // else it says only that time is over
			err = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s: %w", what, Patience, err)
		}
	}
}
