package free_test

import (
	"testing"

	"github.com/catalyst-router/catalyst/e2e/free"
)

// Callers at the same time are given ports apart, though none listens yet.
func TestPortsAreGivenOnce(t *testing.T) {
	t.Parallel()
	const callers, each = 20, 50
	given := make(chan []int)
	for range callers {
		go func() {
			ports, err := free.Ports(each)
			if err != nil {
				t.Error(err)
			}
			given <- ports
		}()
	}
	seen := map[int]bool{}
	for range callers {
		for _, port := range <-given {
			if seen[port] {
				t.Errorf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
	if len(seen) != callers*each {
		t.Errorf("%d ports, want %d", len(seen), callers*each)
	}
}
