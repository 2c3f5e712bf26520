// Command images writes an OCI image of catalyst for several processors into one archive (OCI image layout), with a
// software bill of materials for each in CycloneDX: from nothing, without a registry and without a container runtime.
// The same programs give the same bytes.
//
//	images -version 1.2.3 -out dist/images amd64=dist/catalyst-amd64 arm64=dist/catalyst-arm64
//
// podman load, ctr image import and skopeo copy take the archive (oci-archive:FILE); docker load does with the store of
// containerd.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	version := flag.String("version", "", "of catalyst; required")
	out := flag.String("out", "", "folder to write into; required")
	flag.Parse()
	if err := run(*version, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(version, out string, programs []string) error {
	if version == "" || out == "" || len(programs) == 0 {
		return errors.New("want -version, -out and at least one ARCHITECTURE=PROGRAM")
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	l := newLayout()
	for _, p := range programs {
		arch, path, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%q: want ARCHITECTURE=PROGRAM", p)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bill, err := billOf(path, version)
		if err != nil {
			return err
		}
		if err := l.add(arch, version, program, bill); err != nil {
			return err
		}
		name := fmt.Sprintf("catalyst-%s-%s.cdx.json", version, arch)
		if err := os.WriteFile(filepath.Join(out, name), bill, 0o644); err != nil { //nolint:gosec // public
			return err
		}
	}
	archive, digest, err := l.archive(version)
	if err != nil {
		return err
	}
	path := filepath.Join(out, fmt.Sprintf("catalyst-%s.oci.tar", version))
	fmt.Printf("%s  %s\n", digest, path)
	return os.WriteFile(path, archive, 0o644) //nolint:gosec // public
}
