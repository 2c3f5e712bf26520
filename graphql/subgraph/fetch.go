package subgraph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MaxBody is the largest answer that is read, in bytes.
const MaxBody = 32 << 20

// Kind is the way in which a schema was got.
type Kind string

// The kinds.
const (
	Federation    Kind = "federation"    // `_service { sdl }`: directives included
	SDL           Kind = "sdl"           // `_sdl`
	Introspection Kind = "introspection" // printed by SDLFrom: a plain schema without directives
)

// ErrNoSchema says that the service answers, but in none of the three ways.
var ErrNoSchema = errors.New("the service gives no schema") //nolint:gochecknoglobals // a sentinel

// Fetch returns the schema of the service at url as SDL. Header is sent along; a Host in it replaces the URL's, as
// the name of a service behind a proxy does. The deadline is ctx's, and covers all attempts together.
//
// A service that cannot be reached is an error at once; one that answers without a schema is ErrNoSchema with its
// words for each attempt.
func Fetch(ctx context.Context, client *http.Client, url string, header http.Header) (string, Kind, error) {
	direct := *client // a redirect could lead to anybody's schema, and headers with it
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func(query string, into any) error { return post(ctx, &direct, url, header, query, into) }
	var reasons []string
	for _, attempt := range []struct {
		kind Kind
		get  func(func(string, any) error) (string, error)
	}{{Federation, federationSDL}, {SDL, plainSDL}, {Introspection, introspected}} {
		sdl, err := attempt.get(ask)
		if err == nil {
			return sdl, attempt.kind, nil
		}
		var refusal refusalError
		if !errors.As(err, &refusal) {
			return "", "", fmt.Errorf("fetch the schema of %s: %w", url, err)
		}
		reasons = append(reasons, string(attempt.kind)+": "+err.Error())
	}
	return "", "", fmt.Errorf("fetch the schema of %s: %w (%s)", url, ErrNoSchema, strings.Join(reasons, "; "))
}

// refusalError is an answer that says no: another way may still work.
type refusalError struct{ text string }

func (e refusalError) Error() string { return e.text }

func federationSDL(ask func(string, any) error) (string, error) {
	var data struct {
		Service struct {
			SDL string `json:"sdl"`
		} `json:"_service"`
	}
	if err := ask("query CatalystSchema{_service{sdl}}", &data); err != nil {
		return "", err
	}
	return notEmpty(data.Service.SDL)
}

func plainSDL(ask func(string, any) error) (string, error) {
	var data struct {
		SDL string `json:"_sdl"`
	}
	if err := ask("query CatalystSchema{_sdl}", &data); err != nil {
		return "", err
	}
	return notEmpty(data.SDL)
}

func notEmpty(sdl string) (string, error) {
	if strings.TrimSpace(sdl) == "" {
		return "", refusalError{"the schema is empty"}
	}
	return sdl, nil
}

// introspected asks for all that the current specification has, and if that is refused, for what its first edition had.
func introspected(ask func(string, any) error) (string, error) {
	var data struct {
		Schema *Schema `json:"__schema"`
	}
	err := ask(fullIntrospection(), &data)
	var refusal refusalError
	if errors.As(err, &refusal) {
		err = ask(oldIntrospection(), &data)
	}
	if err != nil {
		return "", err
	}
	if data.Schema == nil {
		return "", refusalError{"introspection answers null"}
	}
	return SDLFrom(data.Schema)
}

// post sends one operation and reads its data. An answer that holds GraphQL errors, or is no GraphQL at all, is a
// refusal.
func post(ctx context.Context, client *http.Client, url string, header http.Header, query string, into any) error {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/graphql-response+json, application/json;q=0.9")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(raw) > MaxBody {
		return fmt.Errorf("the answer is larger than %d MiB", MaxBody>>20)
	}
	return read(resp.StatusCode, raw, into)
}

// read takes the data out of an answer.
func read(status int, raw []byte, into any) error {
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Data == nil && answer.Errors == nil {
		// Only a service that has read the question says no to it; anything else, such as a proxy that does not know the
		// service yet, may answer otherwise the next time.
		if status != http.StatusOK && status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
			return fmt.Errorf("HTTP status %d: %s", status, excerpt(raw))
		}
		return refusalError{fmt.Sprintf("HTTP status %d, and no GraphQL answer: %s", status, excerpt(raw))}
	}
	if len(answer.Errors) > 0 {
		return refusalError{excerpt([]byte(answer.Errors[0].Message))}
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return refusalError{fmt.Sprintf("the answer has another form than asked for: %v", err)}
	}
	return nil
}

// excerpt is the start of a text, fit for one line.
func excerpt(b []byte) string {
	const most = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(b[:min(len(b), 4*most)]), "?")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	if text == "" {
		return "(empty)"
	}
	return text
}
