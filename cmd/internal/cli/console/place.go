package console

import (
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/cmd/internal/site"
)

// DefaultSocket is that of the node in this directory, or of the package's if there is none here.
func DefaultSocket() string {
	here := filepath.Join("data", "catalyst.sock")
	packaged := filepath.Join(site.Data, "catalyst.sock")
	return thereOr(here, packaged)
}

// DefaultOrg is the organisation's directory: that in this directory, or the package's if there is none here.
func DefaultOrg() string { return thereOr("org", site.Organisation) }

// thereOr is here, unless that does not exist and packaged does.
func thereOr(here, packaged string) string {
	if _, err := os.Lstat(here); err == nil {
		return here
	}
	if _, err := os.Lstat(packaged); err == nil {
		return packaged
	}
	return here
}
