package forwarding

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/fib"
)

// fibFile holds what Envoy took last, below the data directory.
const fibFile = "fib"

// Kept reads what an earlier process kept in the data directory of Envoy's state; nil if there is nothing. A file
// that cannot be read costs no more than itself: it is kept aside and Envoy waits for the tables.
func Kept(data string, log *slog.Logger) []xds.Resource {
	path := filepath.Join(data, fibFile)
	kept, err := fib.Load(path)
	if err != nil {
		log.Error("the last forwarding state is not used, Envoy waits for the tables", "error", err, "kept_aside",
			path+".bad")
	}
	return kept
}

// much is how many bytes of kept state take a node long enough to read that it should hurry: some 30,000 services.
const much = 8 << 20

// KeptMuch tells whether Kept has much to read.
func KeptMuch(data string) bool {
	info, err := os.Stat(filepath.Join(data, fibFile))
	return err == nil && info.Size() > much
}
