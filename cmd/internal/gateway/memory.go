package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/catalyst-router/catalyst/bgp/datafile"
)

// largestMemory bounds the file that is read, in bytes: the schemas of all subgraphs.
const largestMemory = 256 << 20

// memory is live.Memory in a file of JSON: schemas by the subgraph's name.
type memory string

// Load returns what the file says; nothing if there is none.
func (m memory) Load() (map[string]string, error) {
	f, err := os.Open(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the graph's members: %w", err)
	}
	defer func() { _ = f.Close() }()
	var out map[string]string
	if err := json.NewDecoder(io.LimitReader(f, largestMemory)).Decode(&out); err != nil {
		return nil, fmt.Errorf("read the graph's members from %s: %w", m, err)
	}
	return out, nil
}

// Save writes the file, at once or not at all.
func (m memory) Save(members map[string]string) error {
	raw, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("write the graph's members: %w", err)
	}
	if err := datafile.Replace(string(m), raw); err != nil {
		return fmt.Errorf("write the graph's members: %w", err)
	}
	return nil
}
