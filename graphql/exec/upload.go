package exec

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// multipartBody is a request with files, by the GraphQL multipart request specification: the fields `operations` and
// `map`, then the files, named by number.
type multipartBody struct {
	boundary string
	files    []multipartFile
}

type multipartFile struct {
	*Upload
	path string // as in `map`
}

// uploadError says that a file of the client could not be read.
type uploadError struct {
	file  string
	cause error
}

func (e *uploadError) Error() string { return "read upload " + e.file + ": " + e.cause.Error() }
func (e *uploadError) Unwrap() error { return e.cause }

// upload returns the files that a request needs, by the variables it uses; nil if none.
func (r *execution) upload(req *plan.Request) *multipartBody {
	var m *multipartBody
	for i := range r.req.Uploads {
		u := &r.req.Uploads[i]
		for k := range req.Variables {
			v := &req.Variables[k]
			if v.Client < 0 || len(u.Path) == 0 || r.plan.Variables[v.Client].Name != u.Path[0] {
				continue
			}
			if m == nil {
				m = &multipartBody{boundary: rand.Text()}
			}
			path := strings.Join(append([]string{"variables", v.Name}, u.Path[1:]...), ".")
			m.files = append(m.files, multipartFile{Upload: u, path: path})
		}
	}
	return m
}

func (m *multipartBody) contentType() string { return "multipart/form-data; boundary=" + m.boundary }

// open returns the body and its length, which is -1 if that of a file is not known. Files are opened when their turn
// comes.
func (m *multipartBody) open(operations []byte) (io.ReadCloser, int64) {
	var head bytes.Buffer
	m.part(&head, `name="operations"`, "application/json")
	head.Write(operations)
	m.part(&head, `name="map"`, "application/json")
	head.WriteByte('{')
	for i := range m.files {
		if i > 0 {
			head.WriteByte(',')
		}
		head.Write(appendQuoted(nil, strconv.Itoa(i)))
		head.WriteString(":[")
		head.Write(appendQuoted(nil, m.files[i].path))
		head.WriteByte(']')
	}
	head.WriteByte('}')
	length := int64(head.Len())
	b := &filesReader{}
	parts := []io.Reader{&head}
	for i := range m.files {
		f := &m.files[i]
		var h bytes.Buffer
		m.part(&h, fmt.Sprintf(`name="%d"; filename="%s"`, i, escapeName(f.Filename)), f.ContentType)
		length += int64(h.Len())
		if f.Size < 0 || length < 0 {
			length = -1 << 62
		}
		length += f.Size
		parts = append(parts, &h, &fileReader{upload: f.Upload, all: b})
	}
	end := "\r\n--" + m.boundary + "--\r\n"
	b.Reader = io.MultiReader(append(parts, strings.NewReader(end))...)
	return b, max(length+int64(len(end)), -1)
}

// part begins a part of the body. The line break before the first one belongs to an empty preamble (RFC 2046 §5.1.1).
func (m *multipartBody) part(b *bytes.Buffer, disposition, mediaType string) {
	b.WriteString("\r\n--" + m.boundary + "\r\nContent-Disposition: form-data; " + disposition + "\r\n")
	if mediaType = textproto.TrimString(mediaType); mediaType != "" && !strings.ContainsAny(mediaType, "\r\n") {
		b.WriteString("Content-Type: " + mediaType + "\r\n")
	}
	b.WriteString("\r\n")
}

// escapeName makes a file name safe within quotes (HTML standard, multipart/form-data encoding algorithm).
func escapeName(name string) string {
	return strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace(name)
}

// filesReader is the body; it closes the file that is open.
type filesReader struct {
	io.Reader
	open io.Closer
}

func (b *filesReader) Close() error {
	if b.open == nil {
		return nil
	}
	c := b.open
	b.open = nil
	return c.Close()
}

// fileReader reads a file that it opens with the first read.
type fileReader struct {
	upload *Upload
	all    *filesReader
	from   io.Reader
	read   int64
}

func (f *fileReader) Read(p []byte) (int, error) {
	if f.from == nil {
		c, err := f.upload.Open()
		if err != nil {
			return 0, &uploadError{f.upload.Filename, err}
		}
		f.from, f.all.open = c, c
	}
	n, err := f.from.Read(p)
	f.read += int64(n)
	switch {
	case err == io.EOF: //nolint:errorlint // readers return it bare
		if f.upload.Size >= 0 && f.read != f.upload.Size {
			return n, &uploadError{f.upload.Filename, fmt.Errorf("it has %d bytes, not %d", f.read, f.upload.Size)}
		}
		if cerr := f.all.Close(); cerr != nil {
			return n, &uploadError{f.upload.Filename, cerr}
		}
	case err != nil:
		return n, &uploadError{f.upload.Filename, err}
	}
	return n, err
}
