package node

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/envoy"
)

// envoyRun runs an Envoy in this process's place, as the Compose files and Kubernetes do in a container beside the
// node's.
func (a *app) envoyRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run an Envoy beside a node that has none of its own (--no-envoy), over a shared data directory",
		Long: "Run an Envoy beside a node that has none of its own (catalyst node --no-envoy), in the place of this " +
			"process. Both see the node's data directory under the same path: the node gives its configuration over " +
			"a Unix socket there. It may be started before the node, and runs on when the node is restarted.",
		Args: console.ExactArgs(0, "no arguments"),
	}
	data := cmd.Flags().String("data", "data", "the node's data directory")
	id := cmd.Flags().String("node-id", "envoy", "how the Envoy names itself")
	binary := cmd.Flags().String(
		"envoy-binary",
		"",
		"path of Envoy; empty to look at CATALYST_ENVOY, the PATH and .tools",
	)
	workers := cmd.Flags().Int("envoy-workers", 2, "worker threads of Envoy, 1 to 256")
	limits := &envoyLimits{}
	limits.flags(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		overload, err := limits.overload(false)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(*data)
		if err != nil {
			return err
		}
		path, err := envoy.Find(*binary)
		if err != nil {
			return err
		}
		text, err := envoy.Bootstrap(envoy.BootstrapConfig{
			NodeID: *id, ADS: filepath.Join(dir, "ads.sock"), Admin: filepath.Join(dir, *id+"-admin.sock"),
			Overload: overload,
		})
		if err != nil {
			return err
		}
		signal.Reset(syscall.SIGINT, syscall.SIGTERM)
		return syscall.Exec(path, []string{ //nolint:gosec // the operator says which Envoy
			path, "--config-yaml", string(text), "--disable-hot-restart", "--concurrency", strconv.Itoa(*workers),
		}, os.Environ())
	}
	return cmd
}
