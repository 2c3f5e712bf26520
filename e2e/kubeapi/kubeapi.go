// Package kubeapi runs a kube-apiserver of a test's own, with its etcd: a Kubernetes cluster without machines, in which
// objects are kept and watched, rights are enforced, and nothing runs. Tests write the EndpointSlices that a controller
// would write.
//
//	c, err := kubeapi.Start(ctx, ".tools/kubernetes") // kube-apiserver and kubectl, of make kubernetes
//	defer c.Stop()
//	err = c.Apply(ctx, objects)
package kubeapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/e2e/free"
)

// admin is the token of whoever may do everything.
const admin = "admin-of-the-test"

// Cluster is a kube-apiserver that runs, and its etcd.
type Cluster struct {
	Dir    string
	Server string // https://HOST:PORT
	Admin  string // the kubeconfig of whoever may do everything

	tools  string
	ports  []int
	etcd   *process
	server *process
}

// process is a program that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts both and waits until they are ready. tools is the folder of kube-apiserver and kubectl.
func Start(ctx context.Context, tools string) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "kubeapi")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, tools: tools}
	if c.ports, err = free.Ports(3); err == nil {
		c.Server = fmt.Sprintf("https://127.0.0.1:%d", c.ports[2])
		err = errors.Join(c.files(), c.runEtcd(), c.Run(ctx))
	}
	if err == nil {
		c.Admin, err = c.Kubeconfig("admin", admin, "default")
	}
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// files writes the key of service accounts' tokens, and the administrator's token.
func (c *Cluster) files() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return errors.Join(os.WriteFile(filepath.Join(c.Dir, "sa.key"), block, 0o600),
		os.WriteFile(filepath.Join(c.Dir, "tokens.csv"), []byte(admin+",admin,admin,system:masters\n"), 0o600))
}

func (c *Cluster) run(name string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(c.Dir, filepath.Base(name)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(name, args...) //nolint:noctx // end ends it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }() // ends with the process
	return p, nil
}

func (p *process) end(sig syscall.Signal) error {
	if p == nil {
		return nil
	}
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		err = errors.Join(err, p.cmd.Process.Kill())
		<-p.done
	}
	return err
}

func (c *Cluster) runEtcd() (err error) {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.ports[0]), fmt.Sprintf("http://127.0.0.1:%d", c.ports[1])
	c.etcd, err = c.run("etcd", "--data-dir", filepath.Join(c.Dir, "etcd"), "--listen-client-urls", client,
		"--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer, "--unsafe-no-fsync", "--log-level", "warn")
	return err
}

// Run starts the kube-apiserver, again after End, and waits until it is ready.
func (c *Cluster) Run(ctx context.Context) (err error) {
	key := filepath.Join(c.Dir, "sa.key")
	c.server, err = c.run(filepath.Join(c.tools, "kube-apiserver"),
		"--etcd-servers", fmt.Sprintf("http://127.0.0.1:%d", c.ports[0]), "--bind-address", "127.0.0.1",
		"--advertise-address", "10.99.255.1",
		"--secure-port", fmt.Sprint(c.ports[2]), "--cert-dir", filepath.Join(c.Dir, "certs"),
		"--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "RBAC",
		"--token-auth-file", filepath.Join(c.Dir, "tokens.csv"), "--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", key, "--service-account-signing-key-file", key, "--shutdown-delay-duration", "0s")
	if err != nil {
		return err
	}
	if c.Admin == "" {
		if c.Admin, err = c.Kubeconfig("admin", admin, "default"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		_, err := c.CLI(ctx, "get", "--raw", "/readyz")
		if err == nil {
			// The namespace is made by a controller of the kube-apiserver, a moment later.
			_, err = c.CLI(ctx, "get", "namespace", "default")
		}
		if err == nil {
			return nil
		}
		select {
		case <-c.server.done:
			log, _ := os.ReadFile(filepath.Join(c.Dir, "kube-apiserver.log"))
			return fmt.Errorf("kube-apiserver has ended: %s", log[max(0, len(log)-2000):])
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready: %w", err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// End ends the kube-apiserver. What it keeps is in etcd.
func (c *Cluster) End() error { return c.server.end(syscall.SIGKILL) }

// Stop ends both and removes their files.
func (c *Cluster) Stop() error {
	return errors.Join(c.server.end(syscall.SIGKILL), c.etcd.end(syscall.SIGKILL), os.RemoveAll(c.Dir))
}

// Kubeconfig writes that of a token, and returns its path.
func (c *Cluster) Kubeconfig(name, token, namespace string) (string, error) {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test, namespace: %q}}]
current-context: test
`, c.Server, token, namespace)
	path := filepath.Join(c.Dir, name+".kubeconfig")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// Account writes a kubeconfig with a token of a service account.
func (c *Cluster) Account(ctx context.Context, namespace, name string) (string, error) {
	token, err := c.CLI(ctx, "create", "token", name, "-n", namespace)
	if err != nil {
		return "", err
	}
	return c.Kubeconfig(namespace+"-"+name, strings.TrimSpace(token), namespace)
}

// CLI runs kubectl as the administrator, and returns what it printed.
func (c *Cluster) CLI(ctx context.Context, args ...string) (string, error) {
	return c.kubectl(ctx, "", args...)
}

// Apply creates or changes objects, and refuses fields that there are not.
func (c *Cluster) Apply(ctx context.Context, objects string) error {
	_, err := c.kubectl(ctx, objects, "apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-")
	return err
}

func (c *Cluster) kubectl(ctx context.Context, in string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.tools, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Admin, "HOME="+c.Dir)
	cmd.Stdin = strings.NewReader(in)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}
