package gateway

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Documents says which documents clients may send, and how they may leave them out.
type Documents struct {
	// List are persisted documents by id; nil means none. ReadDocuments reads them from a file.
	List map[string]string
	// Only refuses documents that are not in List, by whatever way they come.
	Only bool
	// NoAutomatic refuses automatic persisted queries, in which a client first sends a hash alone.
	NoAutomatic bool
	// MaxBytes of the cache of automatic persisted queries. Zero means 32 MiB.
	MaxBytes int
}

func (d Documents) withDefaults() Documents {
	d.MaxBytes = cmp.Or(d.MaxBytes, 32<<20)
	return d
}

// ReadDocuments reads a list of persisted documents: a JSON object of texts by id, or the manifest that Apollo's
// tools write.
func ReadDocuments(raw []byte) (map[string]string, error) {
	var manifest struct {
		Format     string `json:"format"`
		Operations []struct {
			ID   string `json:"id"`
			Body string `json:"body"`
		} `json:"operations"`
	}
	if err := json.Unmarshal(raw, &manifest); err == nil && manifest.Format == "apollo-persisted-query-manifest" {
		list := make(map[string]string, len(manifest.Operations))
		for i, op := range manifest.Operations {
			if op.ID == "" || op.Body == "" {
				return nil, fmt.Errorf("operations[%d]: want an id and a body", i)
			}
			list[op.ID] = op.Body
		}
		return list, nil
	}
	var list map[string]string
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("want a JSON object of documents by id, or an Apollo persisted query manifest: %w", err)
	}
	return list, nil
}

// documentStore finds the text of a request's document.
type documentStore struct {
	cfg   Documents
	known map[string]bool // texts of cfg.List, if only they are allowed
	auto  *lru[string]    // by SHA-256 in hexadecimal
}

func newDocumentStore(cfg Documents) *documentStore {
	s := &documentStore{cfg: cfg, auto: newLRU[string](cfg.MaxBytes)}
	if cfg.Only {
		s.known = make(map[string]bool, len(cfg.List))
		for _, text := range cfg.List {
			s.known[text] = true
		}
	}
	return s
}

// how a document was found, for metrics.
const (
	foundInline    = "inline"
	foundPersisted = "persisted"
	foundAutomatic = "automatic"
	foundStored    = "stored"
	foundNot       = "missing"
)

// resolve returns the text of the request's document.
func (s *documentStore) resolve(p *params) (text, how string, fail *failure) {
	if p.documentID != "" {
		return s.byID(p.documentID)
	}
	if pq := p.extensions.PersistedQuery; pq != nil {
		return s.byHash(p.query, pq.Version, pq.Hash)
	}
	if s.cfg.Only && !s.known[p.query] {
		return "", foundNot, only()
	}
	return p.query, foundInline, nil
}

func only() *failure {
	return invalid(coded(CodeOnlyPersisted, "Only persisted documents are executed here."))
}

// byID finds a document in the list. "sha256:HASH" stands for HASH as well.
func (s *documentStore) byID(id string) (string, string, *failure) {
	for _, key := range []string{id, strings.TrimPrefix(id, "sha256:")} {
		if text, ok := s.cfg.List[key]; ok {
			return text, foundPersisted, nil
		}
	}
	fail := invalid(coded(CodeNotFound, "PersistedQueryNotFound"))
	fail.status = http.StatusNotFound
	return "", foundNot, fail
}

// byHash finds a document in the list or among those that clients have sent with their hash, or stores it there.
func (s *documentStore) byHash(query string, version int, hash string) (string, string, *failure) {
	if version != 1 {
		return "", foundNot, invalid(coded(CodeNotSupported, "Version %d of persisted queries is not supported: use 1.",
			version))
	}
	hash = strings.ToLower(hash)
	if text, ok := s.cfg.List[hash]; ok && query == "" {
		return text, foundPersisted, nil
	}
	if s.cfg.Only && !s.known[query] {
		return "", foundNot, only()
	}
	if s.cfg.NoAutomatic {
		return "", foundNot, invalid(coded(CodeNotSupported, "PersistedQueryNotSupported"))
	}
	if query == "" {
		if text, ok := s.auto.get(hash); ok {
			return text, foundAutomatic, nil
		}
		return "", foundNot, invalid(coded(CodeNotFound, "PersistedQueryNotFound"))
	}
	sum := sha256.Sum256([]byte(query))
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(hash)) != 1 {
		return "", foundNot, invalid(coded(CodeMismatch, "The hash of the persisted query is not that of its text."))
	}
	s.auto.add(hash, query, len(query))
	return query, foundStored, nil
}
