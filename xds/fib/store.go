package fib

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/xds"
)

const (
	maxFile    = 1 << 30 // bytes; no table that a node can hold comes near
	slack      = 1 << 20 // bytes that a file may grow by before it is begun anew, beside its own size
	retryAfter = 10 * time.Second
	badSuffix  = ".bad"
)

// Load reads the file at path: the resources, in the order in which they have to be sent. There are none if there is
// no file. A file that is damaged or of another format, or a pipe or the like in its place, is moved to path with
// ".bad" behind it, in place of one that was there, and the error says why.
func Load(path string) ([]xds.Resource, error) {
	f, err := datafile.Open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, datafile.ErrNotRegular) {
		return nil, errors.Join(fmt.Errorf("open the forwarding state: %w", err), os.Rename(path, path+badSuffix))
	}
	if err != nil {
		return nil, fmt.Errorf("open the forwarding state: %w", err)
	}
	defer func() { _ = f.Close() }()
	all, err := read(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("forwarding state %s: %w", path, err), os.Rename(path, path+badSuffix))
	}
	return inOrder(all), nil
}

// inOrder copies resources, but for those that are nil, in the order in which they have to be sent: by type, and what
// is named before what names it. Others stay in the order in which they were.
func inOrder(all []*xds.Resource) []xds.Resource {
	const perType = 2 // named, and naming
	place := func(r *xds.Resource) int {
		n := xds.Order(r.Type) * perType
		if !xds.IsNamed(r.Name) {
			n++
		}
		return n
	}
	starts, count := make([]int, perType*len(xds.Types())), 0
	for _, r := range all {
		if r != nil {
			starts[place(r)]++
			count++
		}
	}
	next := 0
	for i, n := range starts {
		starts[i], next = next, next+n
	}
	out := make([]xds.Resource, count)
	for _, r := range all {
		if r != nil {
			out[starts[place(r)]] = *r
			starts[place(r)]++
		}
	}
	return out
}

// Config is what a store needs.
type Config struct {
	Path string       // required; of the file
	Log  *slog.Logger // required
	// All returns everything that is to be kept now; required. It is called when the file is begun anew, and is at least
	// as new as every change noted before.
	All func() []*xds.Resource
}

// Store writes what it is told of. Set and Remove may be called from anywhere.
type Store struct {
	cfg    Config
	signal chan struct{}

	mu      sync.Mutex
	pending map[xds.Ref]*xds.Resource // nil: removed; guarded by mu

	// Owned by Run.
	file      *os.File // nil until something was written
	size, top int64    // bytes of the file, and at how many it is begun anew
	scratch   []byte
}

// New returns a store that writes nothing until Run.
func New(cfg Config) *Store {
	return &Store{cfg: cfg, signal: make(chan struct{}, 1), pending: map[xds.Ref]*xds.Resource{}}
}

// Set notes that a resource is to be kept. Those of types that are not kept, such as secrets, and those that belong
// to no service are left out.
func (s *Store) Set(r *xds.Resource) {
	if Kept(r) {
		s.note(xds.Ref{Type: r.Type, Name: r.Name}, r)
	}
}

// Remove notes that a resource is gone.
func (s *Store) Remove(ref xds.Ref) {
	if number(ref.Type) != 0 {
		s.note(ref, nil)
	}
}

// Kept tells whether a resource is one to keep: no secret, and no part of the node's own configuration, which it has
// at hand when it starts.
func Kept(r *xds.Resource) bool {
	return number(r.Type) != 0 && r.Service != "" && len(r.Needs) <= maxNeeds && len(r.Body) < logfile.MaxRecord/2
}

func (s *Store) note(ref xds.Ref, r *xds.Resource) {
	s.mu.Lock()
	s.pending[ref] = r
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, and then what is left. It returns nil: a disk that does not take the state is reported,
// and tried again.
func (s *Store) Run(ctx context.Context) error {
	defer s.close()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			s.report(s.write())
			return nil
		case <-s.signal:
			if retry != nil {
				continue // the disk does not take it: it is tried again later
			}
		case <-retry:
			retry = nil
		}
		if err := s.write(); err != nil {
			s.report(err)
			retry = time.After(retryAfter)
		}
	}
}

func (s *Store) report(err error) {
	if err != nil {
		s.cfg.Log.Error("the forwarding state is not kept, a restart without peers would begin empty", "file", s.cfg.Path,
			"error", err)
	}
}

func (s *Store) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// write brings the file up to date. What could not be written is in what All returns: after an error the file is
// begun anew.
func (s *Store) write() error {
	s.mu.Lock()
	pending := s.pending
	s.pending = map[xds.Ref]*xds.Resource{}
	s.mu.Unlock()
	if len(pending) == 0 && s.file != nil {
		return nil
	}
	if s.file == nil || s.size > s.top {
		return s.rewrite(len(pending))
	}
	w := bufio.NewWriterSize(s.file, 64<<10)
	for ref, r := range pending {
		s.record(w, ref, r)
	}
	return s.commit(w)
}

// rewrite begins the file anew with everything, and puts it in the place of the old one when it is complete.
func (s *Store) rewrite(noted int) error {
	s.close()
	all := s.cfg.All()
	if len(all) == 0 && noted == 0 {
		return nil // nothing has come yet: what an earlier process left stays
	}
	tmp := s.cfg.Path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("begin: %w", err)
	}
	f, err := datafile.Open(tmp, os.O_CREATE|os.O_WRONLY|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	s.file, s.size = f, 0
	w := bufio.NewWriterSize(f, 256<<10)
	n, _ := w.WriteString(magic) // bufio keeps its first error for Flush
	s.size += int64(n)
	for _, r := range all {
		if Kept(r) {
			s.record(w, xds.Ref{Type: r.Type, Name: r.Name}, r)
		}
	}
	if err := s.commit(w); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, s.cfg.Path); err != nil {
		s.close()
		return fmt.Errorf("replace: %w", err)
	}
	s.top = 2*s.size + slack
	return syncDir(filepath.Dir(s.cfg.Path))
}

func (s *Store) record(w *bufio.Writer, ref xds.Ref, r *xds.Resource) {
	body := s.scratch[:0]
	if r == nil {
		body = removeBody(body, ref)
	} else {
		body = setBody(body, r)
	}
	s.scratch = body
	s.put(w, body)
}

func (s *Store) put(w *bufio.Writer, body []byte) {
	rec := logfile.Append(w.AvailableBuffer(), body)
	n, _ := w.Write(rec)
	s.size += int64(n)
}

// commit ends a group of changes and waits until the disk has it.
func (s *Store) commit(w *bufio.Writer) error {
	s.put(w, []byte{recordCommit})
	err := w.Flush()
	if err == nil && s.size > maxFile {
		err = fmt.Errorf("%d bytes: want at most %d", s.size, maxFile)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.close()
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}
