package forwarding

import (
	"log/slog"
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
