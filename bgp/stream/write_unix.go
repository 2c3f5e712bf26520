//go:build unix

package stream

import (
	"errors"
	"syscall"
)

// writeNow writes what the kernel takes of b without waiting.
func writeNow(raw syscall.RawConn, b []byte) (n int, err error) {
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for n < len(b) {
			var k int
			k, failed = syscall.Write(int(fd), b[n:])
			if k > 0 {
				n += k
			}
			if failed != nil && failed != syscall.EINTR {
				break
			}
		}
		return true
	})
	if errors.Is(failed, syscall.EAGAIN) || errors.Is(failed, syscall.EINTR) {
		failed = nil
	}
	return n, errors.Join(err, failed)
}
