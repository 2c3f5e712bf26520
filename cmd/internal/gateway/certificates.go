package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates reads a certificate anew when its files have changed, so that a renewal needs no restart.
type certificates struct {
	cert, key string

	mu      sync.Mutex
	loaded  *tls.Certificate
	looked  time.Time
	changed [2]time.Time // of the files, when they were loaded
}

// lookEvery is how often the files are looked at.
const lookEvery = 2 * time.Second

// get returns the certificate; a pair that cannot be read leaves the former one.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && time.Since(c.looked) < lookEvery {
		return c.loaded, nil
	}
	c.looked = time.Now()
	changed := [2]time.Time{modified(c.cert), modified(c.key)}
	if c.loaded != nil && changed == c.changed {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		if c.loaded != nil {
			return c.loaded, nil
		}
		return nil, fmt.Errorf("gateway.tls-cert: %w", err)
	}
	c.loaded, c.changed = &pair, changed
	return c.loaded, nil
}

func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
