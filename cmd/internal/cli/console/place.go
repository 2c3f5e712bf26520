package console

import (
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/cmd/internal/site"
)

// socketFile is the operator's socket in a node's data directory.
const socketFile = "catalyst.sock"

// DefaultSocket is that of the node in this directory, or of the package's if there is none here. A node that does not
// run has no socket: then its data directory tells, so that one who waits for it waits at the right place.
func DefaultSocket() string { return defaultSocket("data", site.Data) }

func defaultSocket(here, packaged string) string {
	for _, dir := range []string{here, packaged} {
		if isThere(filepath.Join(dir, socketFile)) {
			return filepath.Join(dir, socketFile)
		}
	}
	return filepath.Join(thereOr(here, packaged), socketFile)
}

// DefaultOrg is the organisation's directory: that in this directory, or the package's if there is none here.
func DefaultOrg() string { return thereOr("org", site.Organisation) }

// thereOr is here, unless that does not exist and packaged does.
func thereOr(here, packaged string) string {
	if !isThere(here) && isThere(packaged) {
		return packaged
	}
	return here
}

// isThere tells whether this user can see a file.
func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
