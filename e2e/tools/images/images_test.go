package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The same programs give the same bytes; in them is an image for each processor, whose every blob is what its digest
// says, and which runs the program as nobody.
func TestAnImageOfNothingElse(t *testing.T) {
	self, err := os.Executable() // a Go program
	must(t, err)
	var first []byte
	for range 2 {
		dir := t.TempDir()
		must(t, run("1.2.3", dir, []string{"amd64=" + self, "arm64=" + self}))
		text, err := os.ReadFile(filepath.Join(dir, "catalyst-1.2.3.oci.tar"))
		must(t, err)
		if first == nil {
			first = text
		}
		if !bytes.Equal(first, text) {
			t.Error("the second archive is another")
		}
		bill, err := os.ReadFile(filepath.Join(dir, "catalyst-1.2.3-arm64.cdx.json"))
		must(t, err)
		for _, part := range []string{`"bomFormat": "CycloneDX"`, `"purl": "pkg:golang/std@go1.`} {
			if !strings.Contains(string(bill), part) {
				t.Errorf("the bill of materials has no %s: %s", part, bill)
			}
		}
	}
	files := unpacked(t, bytes.NewReader(first))
	for name, content := range files {
		sum := sha256.Sum256(content)
		if digest, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && digest != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not what its name says", name)
		}
	}
	get := func(d descriptor, into any) {
		t.Helper()
		content, ok := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		if !ok || len(content) != d.Size {
			t.Fatalf("%+v is not there, or has %d bytes", d, len(content))
		}
		must(t, json.Unmarshal(content, into))
	}
	var index, all struct{ Manifests []descriptor }
	must(t, json.Unmarshal(files["index.json"], &index))
	get(index.Manifests[0], &all)
	if len(all.Manifests) != 2 {
		t.Fatalf("%d images", len(all.Manifests))
	}
	for i, arch := range []string{"amd64", "arm64"} {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		get(all.Manifests[i], &manifest)
		var config struct {
			Architecture string
			Config       struct {
				User       string
				Entrypoint []string
			}
			Rootfs struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		get(manifest.Config, &config)
		if config.Architecture != arch || all.Manifests[i].Platform["architecture"] != arch ||
			config.Config.User != "65532:65532" {
			t.Errorf("%s: %+v", arch, config)
		}
		zip, err := gzip.NewReader(bytes.NewReader(files["blobs/sha256/"+strings.TrimPrefix(manifest.Layers[0].Digest,
			"sha256:")]))
		must(t, err)
		plain, err := io.ReadAll(zip)
		must(t, err)
		sum := sha256.Sum256(plain)
		if config.Rootfs.DiffIDs[0] != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Errorf("%s: the layer is not that of the configuration", arch)
		}
		layer := unpacked(t, bytes.NewReader(plain))
		program, err := os.ReadFile(self)
		must(t, err)
		if !bytes.Equal(layer[strings.TrimPrefix(config.Config.Entrypoint[0], "/")], program) {
			t.Errorf("%s: the program is another", arch)
		}
	}
}

// unpacked are the files of a tar archive.
func unpacked(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if !h.ModTime.IsZero() && h.ModTime.Unix() != 0 {
			t.Errorf("%s has a time: %s", h.Name, h.ModTime)
		}
		if files[h.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
