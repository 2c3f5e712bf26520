// Package listen opens what a node listens on and serves HTTP there until it is told to stop.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/idle"
)

// On opens a listener; nil for an empty address. Key is the configuration's field, for errors. A Unix socket that
// nobody listens on any more is replaced and gets mode 0600; one that is in use belongs to a node that runs.
func On(ctx context.Context, network, address, key string) (net.Listener, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no listener is asked for
	}
	if network == "unix" {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if c, err := (&net.Dialer{}).DialContext(limited, network, address); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: %s is in use: another node runs over this data directory", key, address)
		}
		_ = os.Remove(address)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", key, err), l.Close())
		}
	}
	return l, nil
}

// mostIdle connections may do nothing on each listener.
const mostIdle = 128

// Serve serves HTTP on a listener until ctx ends. Of the connections that do nothing it keeps 128.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	idle.Limit(srv, mostIdle)
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
