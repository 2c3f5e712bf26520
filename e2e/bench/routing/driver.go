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
	"github.com/catalyst-router/catalyst/e2e/free"
)

// A peer loads the router under test, or counts what it passes on.
type peer interface {
	// Announce sends routes first..first+n, each with attributes of its own; another variant changes them, extra makes
	// the path longer.
	Announce(first, n int, variant uint32, extra int) error
	// Withdraw takes them back.
	Withdraw(first, n int) error
	// Receive reads until done is content with the counts.
	Receive(total *bgp4.Counts, done func(bgp4.Counts) bool) error
	// Close ends the connection without a word.
	Close() error
	// Track begins to note the variant of each of the first n routes as received, or ends that with 0. Held gives them;
	// 0 for none yet.
	Track(n int)
	Held() []uint32
	// Stall has the peer take nothing more, though its host lives, until resume is called.
	Stall() (resume func())
}

// A line is so many daemons in a row. Peers 0 and 1 are sources and belong to the first, the others are receivers and
// belong to the last.
type line struct{ daemons, peers int }

// at returns the daemon of a peer.
func (l line) at(peer int) int {
	if peer < sources {
		return 0
	}
	return l.daemons - 1
}

// of returns the peers of a daemon.
func (l line) of(daemon int) (peers []int) {
	for i := range l.peers {
		if l.at(i) == daemon {
			peers = append(peers, i)
		}
	}
	return peers
}

const sources = 2

// A router is one kind of daemon under test.
type router interface {
	Name() string
	// Start runs the daemons, with their peers configured, and returns their processes, also those that run when it fails.
	Start(ctx context.Context, dir string, l line) ([]*os.Process, error)
	// Peer connects as peer i.
	Peer(ctx context.Context, l line, i int) (peer, error)
}

func peerAddr(i int) netip.Addr   { return netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}) }
func peerAS(i int) uint32         { return uint32(65001 + i) }
func daemonAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 2, byte(i + 1)}) }
func daemonAS(i int) uint32       { return uint32(64601 + i) }

// neighbour is what a BGP daemon's configuration says of another.
type neighbour struct {
	Name    string
	Address netip.Addr
	AS      uint32
	Port    uint16 // 0 if it dials
}

// rival is what the BGP daemons have in common: a process each that listens on a loopback address of its own.
type rival struct {
	binary string
	ports  []uint16
	// config writes the configuration of one daemon; its file is the last argument of the command.
	file   string
	config func(dir string, i int, port uint16, peers []neighbour) (text string, args []string)
}

// Start implements router. The last daemon starts first, so that each finds the next one listening.
func (r *rival) Start(ctx context.Context, dir string, l line) ([]*os.Process, error) {
	var procs []*os.Process
	r.ports = nil
	for range l.daemons {
		p, err := freePort()
		if err != nil {
			return nil, err
		}
		r.ports = append(r.ports, p.Port())
	}
	for i := l.daemons - 1; i >= 0; i-- {
		var peers []neighbour
		for _, p := range l.of(i) {
			peers = append(peers, neighbour{Name: fmt.Sprintf("p%d", p), Address: peerAddr(p), AS: peerAS(p)})
		}
		if i > 0 {
			peers = append(peers, neighbour{Name: fmt.Sprintf("d%d", i-1), Address: daemonAddr(i - 1), AS: daemonAS(i - 1)})
		}
		if i < l.daemons-1 {
			peers = append(peers, neighbour{
				Name:    fmt.Sprintf("d%d", i+1),
				Address: daemonAddr(i + 1),
				AS:      daemonAS(i + 1),
				Port:    r.ports[i+1],
			})
		}
		p, err := r.start(ctx, filepath.Join(dir, fmt.Sprint(i)), i, peers)
		if err != nil {
			return procs, err
		}
		procs = append(procs, p)
	}
	return procs, nil
}

func (r *rival) start(ctx context.Context, dir string, i int, peers []neighbour) (*os.Process, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	text, args := r.config(dir, i, r.ports[i], peers)
	path := filepath.Join(dir, r.file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(path + ".log")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.binary, err)
	}
	return cmd.Process, r.listens(ctx, i)
}

// listens waits until daemon i does.
func (r *rival) listens(ctx context.Context, i int) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-retry.C {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(daemonAddr(i), r.ports[i]).String())
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// Peer implements router.
func (r *rival) Peer(ctx context.Context, l line, i int) (peer, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	at := l.at(i)
	return bgp4.Dial(ctx, peerAddr(i), netip.AddrPortFrom(daemonAddr(at), r.ports[at]), peerAS(i))
}

type gobgp struct{ rival }

func newGoBGP(binary string) router {
	return &gobgp{rival{
		binary: binary,
		file:   "gobgpd.toml",
		config: func(_ string, i int, port uint16, peers []neighbour) (string, []string) {
			var b strings.Builder
			fmt.Fprintf(&b, "[global.config]\nas = %d\nrouter-id = %q\nport = %d\nlocal-address-list = [%[2]q]\n",
				daemonAS(i), daemonAddr(i), port)
			for _, n := range peers {
				fmt.Fprintf(&b, "[[neighbors]]\n[neighbors.config]\nneighbor-address = %q\npeer-as = "+
					"%d\n[neighbors.transport.config]\n", n.Address, n.AS)
				if n.Port == 0 {
					b.WriteString("passive-mode = true\n")
				} else {
					fmt.Fprintf(&b, "local-address = %q\nremote-port = %d\n[neighbors.timers.config]\nconnect-retry = "+
						"1\nidle-hold-time-after-reset = 1\n", daemonAddr(i), n.Port)
				}
			}
			api, _ := freePort()
			return b.String(), []string{"-f", "gobgpd.toml", "--api-hosts", api.String(), "--log-level", "warn",
				"--pprof-disable"}
		},
	}}
}

func (*gobgp) Name() string { return "GoBGP 4.8.0" }

type bird struct{ rival }

func newBIRD(binary string) router {
	return &bird{rival{
		binary: binary,
		file:   "bird.conf",
		config: func(dir string, i int, port uint16, peers []neighbour) (string, []string) {
			var b strings.Builder
			fmt.Fprintf(&b, "router id %s;\nlog stderr all;\nprotocol device {}\n", daemonAddr(i))
			for _, n := range peers {
				way := "passive yes"
				remote := n.Address.String()
				if n.Port != 0 {
					remote += fmt.Sprintf(" port %d", n.Port)
					way = "connect delay time 1;\n connect retry time 1"
				}
				fmt.Fprintf(&b, "protocol bgp %s {\n local %s port %d as %d;\n neighbor %s as %d;\n strict bind yes;\n "+
					"multihop 2;\n %s;\n hold time 240;\n ipv4 { import all; export all; };\n}\n",
					n.Name, daemonAddr(i), port, daemonAS(i), remote, n.AS, way)
			}
			return b.String(), []string{"-f", "-c", "bird.conf", "-s", filepath.Join(dir, "bird.ctl")}
		},
	}}
}

func (*bird) Name() string { return "BIRD 2" }

func freePort() (netip.AddrPort, error) {
	ports, err := free.Ports(1)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(ports[0])), nil //nolint:gosec // a port
}

// usage is what processes have used so far.
type usage struct {
	CPU time.Duration // user and system
	RSS int           // bytes now
}

func usageOf(procs []*os.Process) (sum usage, err error) {
	for _, p := range procs {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		if err != nil {
			return usage{}, err
		}
		// Fields count from behind the command's closing bracket: utime and stime are the 12th and 13th, rss the 22nd
		// (proc(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		var n [3]int
		for i, f := range []int{11, 12, 21} {
			if n[i], err = strconv.Atoi(fields[f]); err != nil {
				return usage{}, err
			}
		}
		const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
		sum.CPU += time.Duration(n[0]+n[1]) * tick
		sum.RSS += n[2] * os.Getpagesize()
	}
	return sum, nil
}
