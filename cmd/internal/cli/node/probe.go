package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
)

// probeCommand is what health checks of containers call, whose images have neither a shell nor curl.
func (a *app) probeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "probe URL",
		Short: "Ask once whether something serves; exit status 1 if it does not",
		Example: "  catalyst probe http://127.0.0.1:4000/readyz\n" +
			"  catalyst probe --unix /data/envoy-admin.sock http://envoy/ready\n  catalyst probe tcp://127.0.0.1:5432",
		Long: "Ask once whether something serves, for health checks of containers whose images have no shell: " +
			"http://HOST:PORT/PATH has to answer with 2xx, tcp://HOST:PORT has to take a connection.",
		Args: console.ExactArgs(1, "a URL"),
	}
	socket := cmd.Flags().String("unix", "", "Unix socket to connect to, in the place of the URL's host")
	timeout := cmd.Flags().Duration("timeout", 2*time.Second, "how long it may take")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u, err := url.Parse(args[0])
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "tcp" {
			return console.Usage(fmt.Errorf("%q: want http://HOST:PORT/PATH or tcp://HOST:PORT", args[0]))
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if *socket != "" {
				network, address = "unix", *socket
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		if u.Scheme == "http" {
			return probeHTTP(ctx, u, dial)
		}
		conn, err := dial(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return cmd
}

func probeHTTP(
	ctx context.Context, u *url.URL, dial func(ctx context.Context, network, address string) (net.Conn, error),
) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{DialContext: dial, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", u, resp.Status, strings.TrimSpace(string(said)))
	}
	return nil
}
