package gateway

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/exec"
)

// Uploads bounds GraphQL multipart requests (https://github.com/jaydenseric/graphql-multipart-request-spec).
type Uploads struct {
	// Off refuses them.
	Off bool
	// MaxFiles of a request. Zero means 10.
	MaxFiles int
	// MaxBytes of all files of a request together. Zero means 64 MiB.
	MaxBytes int64
	// Directory for files that do not fit into memory, for as long as their request takes; "" means that of the system.
	Directory string
}

func (u Uploads) withDefaults() Uploads {
	u.MaxFiles = cmp.Or(u.MaxFiles, 10)
	u.MaxBytes = cmp.Or(u.MaxBytes, 64<<20)
	return u
}

// inMemory is how many bytes of a file are kept in memory; larger ones go to disk.
const inMemory = 64 << 10

// uploaded is a file of a request. Its contents are in memory or in a file that has no name any more.
type uploaded struct {
	filename, contentType string
	size                  int64
	head                  []byte
	spill                 *os.File // nil: head is all
}

func (u *uploaded) open() (io.ReadCloser, error) {
	if u.spill == nil {
		return io.NopCloser(bytes.NewReader(u.head)), nil
	}
	return io.NopCloser(io.NewSectionReader(u.spill, 0, u.size)), nil
}

func (u *uploaded) drop() {
	if u.spill != nil {
		_ = u.spill.Close()
		_ = os.Remove(u.spill.Name()) // gone already where open files can be removed
	}
}

// dropUploads ends the use of a request's files.
func dropUploads(all []params) {
	for i := range all {
		for _, f := range all[i].files {
			f.drop()
		}
	}
}

func badUpload(format string, args ...any) *failure {
	return refuse(http.StatusBadRequest, CodeUpload, format, args...)
}

// fromForm reads a multipart request: the part `operations`, then `map`, then the files.
func (g *Gateway) fromForm(w http.ResponseWriter, b *body,
	boundary string) (all []params, batched bool, fail *failure) {
	cfg := &g.cfg.Uploads
	switch {
	case cfg.Off:
		return nil, false, refuse(http.StatusUnsupportedMediaType, CodeMediaType,
			"Uploads are not allowed here: use application/json.").with("Accept-Post", typeJSON)
	case boundary == "":
		return nil, false, badUpload("The Content-Type multipart/form-data wants a boundary.")
	}
	form := multipart.NewReader(http.MaxBytesReader(w, b, g.cfg.MaxBody+cfg.MaxBytes), boundary)
	operations, fail := g.formField(form, "operations")
	if fail != nil {
		return nil, false, fail
	}
	if all, batched, fail = g.decode(operations); fail != nil {
		return nil, false, fail
	}
	mapping, fail := g.formField(form, "map")
	if fail != nil {
		return nil, false, fail
	}
	var paths map[string][]string
	if err := json.Unmarshal(mapping, &paths); err != nil || paths == nil {
		return nil, false, badUpload("The part map must be a JSON object of lists of paths by the names of parts.")
	}
	if len(paths) > cfg.MaxFiles {
		return nil, false, refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "A request may hold %d files, not %d.",
			cfg.MaxFiles, len(paths))
	}
	places, fail := placesOf(all, batched, paths)
	if fail != nil {
		return nil, false, fail
	}
	b.passing = true
	if fail = g.readFiles(form, b, places); fail != nil {
		dropUploads(all)
		return nil, false, fail
	}
	_ = b.Close() // a writer without deadlines is a test's
	return all, batched, nil
}

// formField reads a part that is no file.
func (g *Gateway) formField(form *multipart.Reader, name string) ([]byte, *failure) {
	part, err := form.NextPart()
	switch {
	case errors.Is(err, io.EOF):
		return nil, badUpload("The part %s is missing.", name)
	case err != nil:
		return nil, g.unreadForm(err)
	case part.FormName() != name:
		return nil, badUpload("The part %s is missing: the parts must be operations, then map, then the files.", name)
	}
	b, err := io.ReadAll(io.LimitReader(part, g.cfg.MaxBody+1))
	switch {
	case err != nil:
		return nil, g.unreadForm(err)
	case int64(len(b)) > g.cfg.MaxBody:
		return nil, refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "The part %s is larger than %d bytes.", name,
			g.cfg.MaxBody)
	}
	return b, nil
}

// unreadForm explains why a multipart body could not be read.
func (g *Gateway) unreadForm(err error) *failure {
	fail := g.unread(err)
	if fail.code() == CodeBadRequest {
		return badUpload("The request's body is not multipart/form-data with the boundary that its Content-Type "+
			"tells.").with("Connection", "close")
	}
	return fail
}

// place is where a file goes.
type place struct {
	params *params
	path   []string // in the variables
}

// mostPlaces bounds the places of one file.
const mostPlaces = 100

// placesOf checks where files go, by the names of their parts.
func placesOf(all []params, batched bool, paths map[string][]string) (map[string][]place, *failure) {
	places := make(map[string][]place, len(paths))
	taken := map[string]bool{}
	for name, list := range paths {
		if len(list) == 0 || len(list) > mostPlaces {
			return nil, badUpload("The part map must give 1 to %d paths for %q.", mostPlaces, clip(name))
		}
		for _, text := range list {
			if taken[text] {
				return nil, badUpload("The part map gives the path %q twice.", clip(text))
			}
			taken[text] = true
			at, fail := placeOf(all, batched, text)
			if fail != nil {
				return nil, fail
			}
			places[name] = append(places[name], at)
		}
	}
	return places, nil
}

// placeOf finds a path such as variables.files.0, after the operation's number if there is a list of them.
func placeOf(all []params, batched bool, text string) (place, *failure) {
	path := strings.Split(text, ".")
	p := &all[0]
	if batched {
		n, err := strconv.Atoi(path[0])
		if err != nil || n < 0 || n >= len(all) {
			return place{}, badUpload("The path %q must begin with the number of an operation.", clip(text))
		}
		p, path = &all[n], path[1:]
	}
	if len(path) < 2 || path[0] != "variables" {
		return place{}, badUpload("The path %q must lead into variables.", clip(text))
	}
	path = path[1:]
	raw, ok := p.variables[path[0]]
	for _, step := range path[1:] {
		if raw, ok = child(raw, step); !ok {
			break
		}
	}
	if !ok || string(bytes.TrimSpace(raw)) != "null" {
		return place{}, badUpload("The path %q must lead to a null in the variables.", clip(text))
	}
	return place{p, path}, nil
}

// child is a field of a JSON object or an element of a list.
func child(raw json.RawMessage, step string) (json.RawMessage, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil {
		v, ok := fields[step]
		return v, ok
	}
	var list []json.RawMessage
	n, err := strconv.Atoi(step)
	if err != nil || json.Unmarshal(raw, &list) != nil || n < 0 || n >= len(list) {
		return nil, false
	}
	return list[n], true
}

// readFiles reads the files and puts each into its places.
func (g *Gateway) readFiles(form *multipart.Reader, b *body, places map[string][]place) *failure {
	var sum int64
	for len(places) > 0 {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return g.unreadForm(err)
		}
		to, ok := places[part.FormName()]
		if !ok {
			continue // the specification: parts that the map does not name are ignored
		}
		delete(places, part.FormName())
		f := &uploaded{filename: part.FileName(), contentType: part.Header.Get("Content-Type")}
		to[0].params.files = append(to[0].params.files, f) // whose end it shares
		if err := f.read(part, g.cfg.Uploads.MaxBytes-sum, g.cfg.Uploads.Directory); err != nil {
			return g.unsaved(err)
		}
		if err := b.hold(int64(len(f.head))); err != nil {
			return g.unread(err)
		}
		sum += f.size
		for _, at := range to {
			if fail := at.put(f); fail != nil {
				return fail
			}
		}
	}
	for name := range places {
		return badUpload("The file %q of the map is missing.", clip(name))
	}
	return nil
}

var (
	errFilesTooLarge = errors.New("the files are too large")      //nolint:gochecknoglobals // a sentinel
	errNotSaved      = errors.New("the file could not be stored") //nolint:gochecknoglobals // a sentinel
)

func (g *Gateway) unsaved(err error) *failure {
	switch {
	case errors.Is(err, errFilesTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "The files of a request may have %d bytes together.",
			g.cfg.Uploads.MaxBytes)
	case errors.Is(err, errNotSaved):
		g.cfg.Log.Error("an upload could not be stored", "error", err)
		return refuse(http.StatusInternalServerError, CodeUpload, "The files could not be stored.")
	}
	return g.unreadForm(err)
}

// read reads a file of at most limit bytes.
func (u *uploaded) read(from io.Reader, limit int64, dir string) error {
	var head bytes.Buffer
	n, err := io.CopyN(&head, from, min(inMemory, limit)+1)
	u.size, u.head = n, head.Bytes()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case n > limit:
		return errFilesTooLarge
	}
	if u.spill, err = os.CreateTemp(dir, "catalyst-upload-*"); err != nil {
		return fmt.Errorf("%w: %w", errNotSaved, err)
	}
	_ = os.Remove(u.spill.Name()) // nothing stays behind, however the process ends
	to := &spillWriter{to: u.spill}
	rest, err := io.Copy(to, io.MultiReader(&head, io.LimitReader(from, limit-n+1)))
	u.size, u.head = rest, nil
	switch {
	case to.err != nil:
		return fmt.Errorf("%w: %w", errNotSaved, to.err)
	case err != nil:
		return err
	case rest > limit:
		return errFilesTooLarge
	}
	return nil
}

// spillWriter tells errors of the disk from those of the client.
type spillWriter struct {
	to  io.Writer
	err error
}

func (w *spillWriter) Write(p []byte) (n int, err error) {
	n, err = w.to.Write(p)
	w.err = err
	return n, err
}

// put makes a file the value at a place: a mark stands there until the variables have been coerced, since null is no
// value for a variable of the type Upload!.
func (at place) put(f *uploaded) *failure {
	p := at.params
	mark := "upload-" + rand.Text()
	value, err := replaced(p.variables[at.path[0]], at.path[1:], mark)
	if err != nil {
		return badUpload("The variable %q cannot take a file: %v.", clip(at.path[0]), err)
	}
	p.variables[at.path[0]] = value
	p.marks = append(p.marks, uploadMark{mark, f})
	return nil
}

// uploadMark stands for a file in the variables.
type uploadMark struct {
	mark string
	file *uploaded
}

// replaced is a JSON value with a string in the place of what is at path.
func replaced(raw json.RawMessage, path []string, text string) (json.RawMessage, error) {
	if len(path) == 0 {
		return json.Marshal(text)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil && fields != nil {
		v, err := replaced(fields[path[0]], path[1:], text)
		if err != nil {
			return nil, err
		}
		fields[path[0]] = v
		return json.Marshal(fields)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(path[0])
	if err != nil || n < 0 || n >= len(list) {
		return nil, fmt.Errorf("no element %q", clip(path[0]))
	}
	if list[n], err = replaced(list[n], path[1:], text); err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// takeUploads takes the marks out of coerced variables, as nulls, and returns the files with the places at which they
// were found.
func (p *params) takeUploads(vars map[string]json.RawMessage) []exec.Upload {
	if len(p.marks) == 0 {
		return nil
	}
	var found []exec.Upload
	for name, raw := range vars {
		if !bytes.Contains(raw, []byte(`"upload-`)) {
			continue
		}
		var v any
		if json.Unmarshal(raw, &v) != nil {
			continue
		}
		before := len(found)
		found = p.find(found, v, []string{name})
		for _, m := range p.marks {
			raw = bytes.ReplaceAll(raw, []byte(strconv.Quote(m.mark)), []byte("null"))
		}
		if len(found) > before {
			vars[name] = raw
		}
	}
	slices.SortFunc(found, func(a, b exec.Upload) int { return slices.Compare(a.Path, b.Path) })
	return found
}

// find adds the files whose marks are in v.
func (p *params) find(found []exec.Upload, v any, path []string) []exec.Upload {
	switch v := v.(type) {
	case string:
		for _, m := range p.marks {
			if m.mark == v {
				return append(found, exec.Upload{
					Path:        slices.Clone(path),
					Filename:    m.file.filename,
					ContentType: m.file.contentType,
					Size:        m.file.size,
					Open:        m.file.open,
				})
			}
		}
	case map[string]any:
		for name, x := range v {
			found = p.find(found, x, append(path, name))
		}
	case []any:
		for i, x := range v {
			found = p.find(found, x, append(path, strconv.Itoa(i)))
		}
	}
	return found
}
