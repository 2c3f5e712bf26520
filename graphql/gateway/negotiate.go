package gateway

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/exec"
)

// The media types of answers.
const (
	typeGraphQL = "application/graphql-response+json"
	typeJSON    = "application/json"
	typeEvents  = "text/event-stream"
	typeMixed   = "multipart/mixed"
)

// accepted is what a client takes.
type accepted struct {
	// single is the type of a plain answer, or "" if the client takes none.
	single string
	// events and mixed say that streams may be sent in these ways; first is the one it likes better, or "".
	events, mixed bool
	first         string
	// subscriptions says that the client takes subscriptions as multipart/mixed (subscriptionSpec=1.0).
	subscriptions bool
	// incremental is the form of deferred payloads the client knows.
	incremental exec.Incremental
}

// any reports whether the client takes something that can be sent.
func (a accepted) any() bool { return a.single != "" || a.events || a.mixed }

// negotiate reads the Accept header. The specification of GraphQL over HTTP wants application/json where a client
// names no type. Of types that the client likes equally, the first one it names is taken.
func negotiate(h http.Header) accepted {
	values := h.Values("Accept")
	if len(values) == 0 {
		return accepted{single: typeJSON}
	}
	var a accepted
	var bestSingle, bestStream float64
	for _, part := range strings.Split(strings.Join(values, ","), ",") {
		name, params, q := mediaRange(part)
		if q == 0 {
			continue
		}
		switch name {
		case "*/*", "application/*":
			name = typeJSON
		case "text/*":
			name = typeEvents
		case "multipart/*":
			name = typeMixed
		}
		switch name {
		case typeJSON, typeGraphQL:
			if q > bestSingle {
				a.single, bestSingle = name, q
			}
		case typeEvents, typeMixed:
			a.events = a.events || name == typeEvents
			if name == typeMixed {
				a.mixed, a.incremental = true, incrementalForm(params)
				a.subscriptions = a.subscriptions || params["subscriptionspec"] != ""
			}
			if q > bestStream {
				a.first, bestStream = name, q
			}
		}
	}
	return a
}

// prefersHTML reports whether a client likes HTML better than every type of an answer.
func prefersHTML(h http.Header) bool {
	var html, other float64
	for _, part := range strings.Split(strings.Join(h.Values("Accept"), ","), ",") {
		switch name, _, q := mediaRange(part); name {
		case "text/html":
			html = max(html, q)
		case typeJSON, typeGraphQL, typeEvents, typeMixed:
			other = max(other, q)
		}
	}
	return html > other
}

// mediaRange reads one entry of Accept. What cannot be read or wants another character set than UTF-8 has the quality
// 0.
func mediaRange(part string) (name string, params map[string]string, q float64) {
	name, params, err := mime.ParseMediaType(part)
	if err != nil {
		return "", nil, 0
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "utf8") {
		return "", nil, 0
	}
	q = 1
	if text, ok := params["q"]; ok {
		if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
			return "", nil, 0
		}
	}
	return name, params, q
}

// incrementalForm chooses between the drafts of incremental delivery by the parameter that clients name them with.
func incrementalForm(params map[string]string) exec.Incremental {
	for _, key := range []string{"deferspec", "incrementalspec"} {
		if v, ok := params[key]; ok && v != "20220824" {
			return exec.ByID
		}
	}
	return exec.ByPath
}
