package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/e2e/bench/routing/bgp4"
)

// A peer loads the router under test, or counts what it passes on.
type peer interface {
	// Announce sends routes first..first+n, each with attributes of its own; another variant changes them, extra makes the path longer.
	Announce(first, n int, variant uint32, extra int) error
	// Withdraw takes them back.
	Withdraw(first, n int) error
	// Receive reads until done is content with the counts.
	Receive(total *bgp4.Counts, done func(bgp4.Counts) bool) error
	// Close ends the connection without a word.
	Close() error
}

// A router is one daemon under test. Peers 0 and 1 are its sources, the others its receivers.
type router interface {
	Name() string
	// Start runs the daemon with so many peers configured, and returns its process.
	Start(ctx context.Context, dir string, peers int) (*os.Process, error)
	// Peer connects as peer i.
	Peer(ctx context.Context, i int) (peer, error)
}

const routerAS = 65000

func peerAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}) }
func peerAS(i int) uint32       { return uint32(65001 + i) }

// daemon is what the BGP rivals have in common: one process that listens on a loopback port.
type daemon struct {
	binary string
	listen netip.AddrPort
	cmd    *exec.Cmd
}

func (d *daemon) start(ctx context.Context, dir, config, text string, args ...string) (*os.Process, error) {
	path := filepath.Join(dir, config)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(path + ".log")
	if err != nil {
		return nil, err
	}
	d.cmd = exec.CommandContext(ctx, d.binary, args...)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, log, log
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", d.binary, err)
	}
	return d.cmd.Process, nil
}

func (d *daemon) Peer(ctx context.Context, i int) (peer, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return bgp4.Dial(ctx, peerAddr(i), d.listen, peerAS(i))
}

type gobgp struct{ daemon }

func (*gobgp) Name() string { return "GoBGP 4.8.0" }

func (g *gobgp) Start(ctx context.Context, dir string, peers int) (*os.Process, error) {
	var err error
	if g.listen, err = freePort(); err != nil {
		return nil, err
	}
	api, err := freePort()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[global.config]\nas = %d\nrouter-id = \"127.0.0.1\"\nport = %d\nlocal-address-list = [\"127.0.0.1\"]\n", routerAS, g.listen.Port())
	for i := range peers {
		fmt.Fprintf(&b, "[[neighbors]]\n[neighbors.config]\nneighbor-address = %q\npeer-as = %d\n[neighbors.transport.config]\npassive-mode = true\n", peerAddr(i), peerAS(i))
	}
	return g.start(ctx, dir, "gobgpd.toml", b.String(), "-f", "gobgpd.toml", "--api-hosts", api.String(), "--log-level", "warn", "--pprof-disable")
}

type bird struct{ daemon }

func (*bird) Name() string { return "BIRD 2" }

func (r *bird) Start(ctx context.Context, dir string, peers int) (*os.Process, error) {
	var err error
	if r.listen, err = freePort(); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("router id 127.0.0.1;\nlog stderr all;\nprotocol device {}\n")
	for i := range peers {
		fmt.Fprintf(&b, "protocol bgp p%d {\n local 127.0.0.1 port %d as %d;\n neighbor %s as %d;\n strict bind yes;\n multihop 2;\n passive yes;\n hold time 240;\n ipv4 { import all; export all; };\n}\n",
			i, r.listen.Port(), routerAS, peerAddr(i), peerAS(i))
	}
	return r.start(ctx, dir, "bird.conf", b.String(), "-f", "-c", "bird.conf", "-s", filepath.Join(dir, "bird.ctl"))
}

func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// usage is what a process has used so far.
type usage struct {
	CPU time.Duration // user and system
	RSS int           // bytes now
}

func usageOf(p *os.Process) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		return usage{}, err
	}
	// Fields count from behind the command's closing bracket: utime and stime are the 12th and 13th, rss the 22nd (proc(5)).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var n [3]int
	for i, f := range []int{11, 12, 21} {
		if n[i], err = strconv.Atoi(fields[f]); err != nil {
			return usage{}, err
		}
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return usage{CPU: time.Duration(n[0]+n[1]) * tick, RSS: n[2] * os.Getpagesize()}, nil
}
