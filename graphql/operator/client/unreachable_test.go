package client

import (
	"errors"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whoever may not use a node's socket is not told that no node runs.
func TestASocketOfAnotherUser(t *testing.T) {
	const socket = "/run/catalyst.sock"
	denied := os.NewSyscallError("connect", syscall.EACCES)
	err := unreachable(socket, &net.OpError{Op: "dial", Err: denied})
	if text := err.Error(); !errors.Is(err, ErrUnreachable) || !strings.Contains(text, "be that user or root") ||
		strings.Contains(text, "start one") {
		t.Errorf("got %v", err)
	}
	err = unreachable(socket, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "start one") {
		t.Errorf("got %v", err)
	}
}

// A node has sockets that speak HTTP/2, and first: what they say is not shown, but which socket would be right.
func TestASocketThatIsNotTheOperators(t *testing.T) {
	log.SetOutput(io.Discard) // net/http writes there what came unasked
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	socket := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00@\x00"))
			_, _ = conn.Read(make([]byte, 1)) // what it is asked is no preface to it
			_ = conn.Close()
		}
	}()
	for range 20 { // whether it speaks before it is asked is a matter of luck
		_, err := GetNode(t.Context(), New(socket))
		if !errors.Is(err, ErrUnreachable) || !strings.HasSuffix(err.Error(), "the node's data directory?") {
			t.Fatalf("got %v", err)
		}
	}
	_ = l.Close()
	<-served
}
