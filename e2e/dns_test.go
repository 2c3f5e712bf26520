//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/e2e/postgres"
)

// tool finds a program; without it the test fails, and says how to get it.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path := filepath.Join(dir, name); executable(path) {
			return path
		}
	}
	t.Fatalf("this test wants %s, and there is none: make clients, or sudo apt-get install -y %s", name, pkg)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// nameserver draws an address of loopback at which a machine's programs may ask: the C library asks at port 53 alone.
func nameserver() string {
	return fmt.Sprintf("127.53.%d.%d", rand.IntN(255), 1+rand.IntN(254)) //nolint:gosec // no secret
}

// beside runs a program of the machine unchanged, as an application whose resolver is the node. Only it sees that
// resolver: it has a mount namespace of its own.
func beside(ctx context.Context, t *testing.T, server, program string, args ...string) (string, error) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(conf, []byte("nameserver "+server+"\noptions timeout:2 attempts:2\n"), 0o644)) //nolint:gosec // public
	script := `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	cmd := exec.CommandContext(ctx, tool(t, "unshare", "util-linux"), append([]string{"--mount", "sh", "-c", script, conf,
		tool(t, program, "postgresql-client redis-tools bind9-dnsutils")}, args...)...)
	cmd.Env = append(os.Environ(), "PGCONNECT_TIMEOUT=5")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// dig asks a name server.
func dig(t *testing.T, server string, port int, args ...string) string {
	t.Helper()
	all := append([]string{"@" + server, "-p", strconv.Itoa(port), "+timeout=3", "+tries=2"}, args...)
	out, err := exec.CommandContext(t.Context(), tool(t, "dig", "bind9-dnsutils"), all...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// redis starts a server until the test ends and returns HOST:PORT.
func redis(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), tool(t, "redis-server", "redis-server"), "--port", port,
		"--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return address
}

// abroad adds a node of another organisation that node n of this one peers with.
func abroad(t *testing.T, n *lab.Node) *lab.Node {
	t.Helper()
	bravo, err := lab.New(t.Context(), binary(t), "bravo.example")
	must(t, err)
	t.Cleanup(func() { must(t, bravo.Close()) })
	x, err := bravo.Add(t.Context(), "x")
	must(t, err)
	trusting(t, n, x, "bravo.example")
	trusting(t, x, n, "acme.example")
	_, err = n.CLI(t.Context(), "peer", "add", "bravo.example/x", "--import", rules(t, "*.bravo.example"))
	must(t, err)
	_, err = x.CLI(t.Context(), "peer", "add", "acme.example/"+n.Name, n.Peering, "--export", rules(t, "*.bravo.example"))
	must(t, err)
	return x
}

// Two databases at port 5432 and a Redis at 6379 of other sites, one of them another organisation's, are dialled by
// name with psql and redis-cli as they are; over a restart of every part, at the same addresses.
func TestNamesAtTheirOwnPorts(t *testing.T) {
	server := nameserver()
	l, n := world(t, "a", "")
	c, err := l.Add(t.Context(), "c", "--dns", server+":53")
	must(t, err)
	must(t, lab.Peer(t.Context(), c, n("a")))
	x := abroad(t, c)
	for _, name := range []string{"orders-db", "stock-db"} {
		db := postgres.Start(t)
		_, err := n("a").CLI(t.Context(), "route", "add", name, "-p", "tcp", "--addr", db.TCP(t), "--service-port", "5432")
		must(t, err)
		out, err := beside(t.Context(), t, server, "psql", "-h", filepath.Dir(db.Socket()), "-U", "catalyst", "postgres",
			"-c", "CREATE TABLE whoami AS SELECT '"+name+"' AS name")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	_, err = x.CLI(t.Context(), "route", "add", "cache", "-p", "tcp", "--addr", redis(t), "--service-port", "6379")
	must(t, err)
	dialled := func(after string) {
		t.Helper()
		for _, name := range []string{"orders-db", "stock-db"} {
			must(t, lab.Eventually(t.Context(), "psql of "+name+" after "+after, func(ctx context.Context) error {
				out, err := beside(ctx, t, server, "psql", "-h", name+".acme.example", "-U", "catalyst", "postgres", "-At", "-c",
					"SELECT name FROM whoami")
				if err == nil && out != name {
					t.Fatalf("after %s, %s.acme.example is %s", after, name, out)
				}
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}))
		}
		must(t, lab.Eventually(t.Context(), "redis-cli after "+after, func(ctx context.Context) error {
			out, err := beside(ctx, t, server, "redis-cli", "-h", "cache.bravo.example", "PING")
			if err != nil || out != "PONG" {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}))
	}
	dialled("the start")
	names := []string{"+short", "orders-db.acme.example", "stock-db.acme.example", "cache.bravo.example"}
	first := dig(t, server, 53, names...)
	if len(strings.Fields(first)) != 3 || !strings.Contains(first, "127.83.0.20") {
		t.Errorf("the addresses are %q", first)
	}
	again := func(n *lab.Node, sig syscall.Signal) error { return errors.Join(n.Stop(sig), n.Start(t.Context())) }
	for name, restart := range map[string]func() error{
		"a restart of the node":         func() error { return again(c, syscall.SIGTERM) },
		"a crash of its Envoy":          func() error { c.KillEnvoy(); return nil },
		"a restart of the other node":   func() error { return again(n("a"), syscall.SIGTERM) },
		"a crash of the other Envoy":    func() error { n("a").KillEnvoy(); return nil },
		"a restart of the partner":      func() error { return again(x, syscall.SIGTERM) },
		"a crash of the partner's":      func() error { x.KillEnvoy(); return nil },
		"a restart of everything there": func() error { return again(c, syscall.SIGINT) },
	} {
		must(t, restart())
		dialled(name)
		if now := dig(t, server, 53, names...); now != first {
			t.Errorf("after %s the addresses are %q, and were %q", name, now, first)
		}
	}
	srv := dig(t, server, 53, "+short", "+tcp", "SRV", "_postgresql._tcp.orders-db.acme.example")
	if srv != "0 0 5432 orders-db.acme.example." {
		t.Errorf("SRV: %q", srv)
	}
}

// A name is answered only when Envoy listens there: a program of the machine that has the port at every address would
// be reached instead. The service's local port works all the same, and the operator is told why.
func TestAPortOfTheMachinesOwn(t *testing.T) {
	server := nameserver()
	l, _ := world(t, "", "")
	c, err := l.Add(t.Context(), "c", "--dns", server+":5353")
	must(t, err)
	own, err := net.Listen("tcp", "0.0.0.0:0") //nolint:gosec // that is what is tried
	must(t, err)
	defer func() { _ = own.Close() }()
	_, port, _ := net.SplitHostPort(own.Addr().String())
	greeter(t, c, "shadowed", "--service-port", port)
	greeter(t, c, "free", "--service-port", "5432")
	type page struct {
		Names []struct{ Service, State, Address, Why string }
	}
	must(t, lab.Eventually(t.Context(), "both names are decided", func(ctx context.Context) error {
		var p page
		if err := c.JSON(ctx, &p, "dns", "list"); err != nil {
			return err
		}
		got := ""
		for _, n := range p.Names {
			got += n.Service + " " + n.State + "; "
			if n.State == "no address" && !strings.Contains(n.Why, "Address already in use") {
				return fmt.Errorf("the operator is told %q", n.Why)
			}
		}
		if want := "free.acme.example answered; shadowed.acme.example no address; "; got != want {
			return fmt.Errorf("%s, want %s", got, want)
		}
		return nil
	}))
	if out := dig(t, server, 5353, "shadowed.acme.example"); !strings.Contains(out, "NOERROR") ||
		!strings.Contains(out, "ANSWER: 0") {
		t.Errorf("a name at which somebody else listens: %s", out)
	}
	at, err := c.TCPPort(t.Context(), "shadowed")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "the local port", func(ctx context.Context) error {
		if got := greeting(ctx, at); got != "shadowed" {
			return fmt.Errorf("says %q", got)
		}
		return nil
	}))
	var status struct{ Problem string }
	must(t, c.JSON(t.Context(), &status, "route", "show", "shadowed"))
	if status.Problem != "" {
		t.Errorf("it is told to everybody that the service cannot be served: %s", status.Problem)
	}
}

// dnsmasq and unbound, set up as catalyst dns setup says, answer the names of the organisation by the node.
func TestSplitDNS(t *testing.T) {
	server := nameserver()
	l, _ := world(t, "", "")
	c, err := l.Add(t.Context(), "c", "--dns", server+":5353")
	must(t, err)
	greeter(t, c, "orders-db", "--service-port", "5432")
	must(t, lab.Eventually(t.Context(), "the node answers", func(context.Context) error {
		if got := dig(t, server, 5353, "+short", "orders-db.acme.example"); got != "127.83.0.20" {
			return errors.New(got)
		}
		return nil
	}))
	for resolver, conf := range map[string]string{
		"dnsmasq": "no-resolv\nno-hosts\nbind-interfaces\nlisten-address=%s\nport=5354\nstop-dns-rebind\nuser=root\n" +
			"pid-file=\nconf-file=%s/etc/dnsmasq.d/catalyst.conf\n",
		"unbound": "server:\n\tinterface: %s@5354\n\tusername: \"\"\n\tchroot: \"\"\n\tpidfile: \"\"\n\tdo-daemonize: no\n" +
			"\tuse-syslog: no\n\tprivate-address: 127.0.0.0/8\ninclude: \"%s/etc/unbound/unbound.conf.d/catalyst.conf\"\n" +
			"remote-control:\n\tcontrol-enable: no\n",
	} {
		t.Run(resolver, func(t *testing.T) {
			root, at := t.TempDir(), nameserver()
			_, err := c.CLI(t.Context(), "dns", "setup", resolver, "--apply", "--root", root)
			must(t, err)
			path := filepath.Join(root, "conf")
			must(t, os.WriteFile(path, fmt.Appendf(nil, conf, at, root), 0o600))
			args := map[string][]string{"dnsmasq": {"--keep-in-foreground", "--conf-file=" + path}, "unbound": {"-c", path}}
			cmd := exec.CommandContext(context.WithoutCancel(t.Context()), tool(t, resolver, "dnsmasq-base unbound"),
				args[resolver]...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			must(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			must(t, lab.Eventually(t.Context(), resolver, func(context.Context) error {
				if got := dig(t, at, 5354, "+short", "orders-db.acme.example"); got != "127.83.0.20" {
					return errors.New(got)
				}
				return nil
			}))
			if got := dig(t, at, 5354, "nothing.acme.example"); !strings.Contains(got, "NXDOMAIN") {
				t.Errorf("a name that does not exist: %s", got)
			}
		})
	}
}
