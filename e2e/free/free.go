// Package free finds loopback ports for tests that run at the same time, in one process or in several: a port that one
// of them was given is given to no other while its process lives, whether it listens there yet or not.
//
//	ports, err := free.Ports(2)     // [14021 30118]
package free

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports lie below those that systems give to connections, one of which may take a port before the test does.
const first, last, tries = 12_000, 32_000, 100

// Ports returns n ports of 127.0.0.1 that nobody listens on and that no other caller was given.
func Ports(n int) ([]int, error) {
	var ports []int
	var why error
	for range n + tries {
		if len(ports) == n {
			return ports, nil
		}
		port := first + rand.IntN(last-first) //nolint:gosec // no secret
		if err := errors.Join(unused(port), reserve(port)); err != nil {
			why = err
			continue
		}
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("%d free ports: %w", n, why)
}

// Port is Ports for a test that wants one.
func Port(t interface {
	Helper()
	Fatal(args ...any)
},
) int {
	t.Helper()
	ports, err := Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

func unused(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// reserve takes the abstract Unix socket that is named after the port, and never closes it: the kernel frees the name
// when the process ends, however it ends.
func reserve(port int) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("reserve port %d: %w", port, err)
	}
	name := "@catalyst-test-port-" + strconv.Itoa(port)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}); err != nil {
		return errors.Join(fmt.Errorf("reserve port %d: %w", port, err), syscall.Close(fd))
	}
	return nil
}
