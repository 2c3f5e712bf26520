package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Media types of the OCI image specification 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// user is as whom the program runs: nobody of the machine.
const user = 65532

// descriptor is a content descriptor of the OCI image specification.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// layout is an OCI image layout that grows.
type layout struct {
	blobs     map[string][]byte // by digest
	manifests []descriptor
}

func newLayout() *layout { return &layout{blobs: map[string][]byte{}} }

// put adds a blob.
func (l *layout) put(mediaType string, content []byte) descriptor {
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	l.blobs[digest] = content
	return descriptor{MediaType: mediaType, Digest: digest, Size: len(content)}
}

func (l *layout) putJSON(mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v) // maps are written in the order of their keys
	return l.put(mediaType, text), err
}

// add adds the image for one architecture: one layer with the program, its bill of materials and an empty directory for
// data.
func (l *layout) add(arch, version string, program, bill []byte) error {
	plain, err := archiveOf([]entry{
		{"etc/passwd", 0o644, 0, []byte("catalyst:x:65532:65532::/var/lib/catalyst:/nonexistent\n")},
		{"etc/group", 0o644, 0, []byte("catalyst:x:65532:\n")},
		{"usr/local/bin/catalyst", 0o755, 0, program},
		{"usr/share/sbom/catalyst.cdx.json", 0o644, 0, bill},
		{"tmp/", 0o777, user, nil},
		{"var/lib/catalyst/", 0o700, user, nil},
	})
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write(plain)
	if err = errors.Join(err, zip.Close()); err != nil {
		return err
	}
	sum := sha256.Sum256(plain)
	layer := l.put(typeLayer, packed.Bytes())
	config, err := l.putJSON(typeConfig, map[string]any{
		"architecture": arch, "os": "linux",
		"config": map[string]any{
			"User": "65532:65532", "WorkingDir": "/var/lib/catalyst", "Entrypoint": []string{"/usr/local/bin/catalyst"},
			"Cmd": []string{"--help"}, "Volumes": map[string]any{"/var/lib/catalyst": struct{}{}}, "StopSignal": "SIGTERM",
			"Labels": map[string]string{"org.opencontainers.image.title": "catalyst",
				"org.opencontainers.image.version":  version,
				"org.opencontainers.image.licenses": "Apache-2.0"},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return err
	}
	manifest, err := l.putJSON(typeManifest, map[string]any{"schemaVersion": 2, "mediaType": typeManifest,
		"config": config,
		"layers": []descriptor{layer}})
	manifest.Platform = map[string]string{"architecture": arch, "os": "linux"}
	l.manifests = append(l.manifests, manifest)
	return err
}

// archive returns the layout as a tar archive, and the digest by which the image of all architectures is known.
func (l *layout) archive(version string) (text []byte, digest string, err error) {
	all, err := l.putJSON(typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": l.manifests})
	if err != nil {
		return nil, "", err
	}
	all.Annotations = map[string]string{"org.opencontainers.image.ref.name": version,
		"io.containerd.image.name": "catalyst:" + version}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []descriptor{all}})
	if err != nil {
		return nil, "", err
	}
	entries := []entry{{"oci-layout", 0o644, 0, []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", 0o644, 0, index}}
	for _, name := range slices.Sorted(maps.Keys(l.blobs)) {
		entries = append(entries, entry{"blobs/sha256/" + strings.TrimPrefix(name, "sha256:"), 0o644, 0, l.blobs[name]})
	}
	text, err = archiveOf(entries)
	return text, all.Digest, err
}

// entry is a file of an archive, or a directory if its name ends with a slash.
type entry struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// archiveOf writes entries with the directories above them, of no time and no machine.
func archiveOf(entries []entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	made := map[string]bool{}
	put := func(e entry) error {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(e.name, "/") {
			kind = tar.TypeDir
			if made[e.name] {
				return nil
			}
			made[e.name] = true
		}
		err := w.WriteHeader(&tar.Header{Typeflag: kind, Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner,
			Size: int64(len(e.content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write(e.content)
		}
		return err
	}
	for _, e := range entries {
		for i, c := range e.name[:len(e.name)-1] {
			if c != '/' {
				continue
			}
			if err := put(entry{name: e.name[:i+1], mode: 0o755}); err != nil {
				return nil, err
			}
		}
		if err := put(e); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}
