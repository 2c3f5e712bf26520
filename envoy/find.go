package envoy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Tried is the version of Envoy that tests and benchmarks run, and that packages carry.
const Tried = "1.40.0"

// packaged is where the package catalyst-envoy puts Envoy.
const packaged = "/usr/lib/catalyst/envoy"

// Find returns the path of an Envoy binary: the one named, else $CATALYST_ENVOY, else one on the PATH, else that of the
// package catalyst-envoy, else the one that make tools installed, in .tools of the working directory or of a folder
// above it.
func Find(named string) (string, error) {
	if named == "" {
		named = os.Getenv("CATALYST_ENVOY")
	}
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("envoy %s: %w", named, err)
		}
		return filepath.Abs(path)
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return filepath.Abs(path)
	}
	if path, err := exec.LookPath(packaged); err == nil {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find envoy: %w", err)
	}
	for {
		path := filepath.Join(dir, ".tools", "envoy", "bin", "envoy")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no Envoy found: install the package catalyst-envoy or another, name it with " +
				"--envoy-binary or CATALYST_ENVOY, or run make " +
				"tools; --no-envoy runs without")
		}
		dir = up
	}
}
