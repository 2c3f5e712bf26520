package doctor

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// listener says who listens at a TCP address of this machine, by /proc (proc_pid_net(5)). Its pid is 0 for a process of
// another user, which /proc does not name.
func listener(address string) *process {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &process{}
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if inode := listening(lines.Text(), at); inode != "" {
				inodes["socket:["+inode+"]"] = true
			}
		}
		_ = f.Close()
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*") // its only error is a bad pattern
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !inodes[to] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid, _ := strconv.Atoi(filepath.Base(dir))
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return &process{pid, strings.TrimSpace(string(name))}
	}
	return &process{}
}

// listening returns the inode of a line of /proc/net/tcp whose socket listens where it is in the way of an address; ""
// if it does not.
func listening(line string, at netip.AddrPort) string {
	const listen = "0A"
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != listen {
		return ""
	}
	host, port, ok := strings.Cut(fields[1], ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || uint16(n) != at.Port() { //nolint:gosec // 16 bits
		return ""
	}
	raw, err := hex.DecodeString(host)
	if err != nil {
		return ""
	}
	for word := range slices.Chunk(raw,
		4) { // words of the machine's byte order, which is little-endian on all we build for
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	if ip = ip.Unmap(); !ok || ip != at.Addr().Unmap() && !ip.IsUnspecified() && !at.Addr().IsUnspecified() {
		return ""
	}
	return fields[9]
}

// Serving returns the process that listens at a Unix socket; 0 if nobody does, or it is not known.
func Serving(socket string) int {
	c, err := net.Dial("unix", socket) //nolint:noctx // the kernel answers
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// descriptorsOf reads how many files a process may have open; its hard limit, which Envoy takes.
func descriptorsOf(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if f := strings.Fields(rest); len(f) >= 2 {
				return strconv.ParseUint(f[1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("/proc/%d/limits: no Max open files", pid)
}

// unsynchronised says what the kernel knows of the clock (adjtimex(2)); "" if a time service keeps it.
func unsynchronised() string {
	const timeError = 5 // TIME_ERROR: the clock is not synchronised
	var t syscall.Timex
	if state, err := syscall.Adjtimex(&t); err == nil && state == timeError {
		return "no time service keeps its clock, says the kernel"
	}
	return ""
}

// ranFrom returns the program of a process, and whether the file has been replaced since it started.
func ranFrom(pid int) (path string, replaced bool) {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "", false
	}
	path, replaced = strings.CutSuffix(path, " (deleted)")
	return path, replaced
}
