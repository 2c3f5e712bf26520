package console

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/Khan/genqlient/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// UsageError is a mistake in what was typed: the exit status is 2.
type UsageError struct{ error }

func (e UsageError) Unwrap() error { return e.error }

// Usage returns err as a mistake in what was typed.
func Usage(err error) error { return UsageError{err} }

// Answered returns the errors in a node's answer.
func Answered(err error) gqlerror.List {
	var list gqlerror.List
	var status *graphql.HTTPError
	if errors.As(err, &status) {
		return status.Response.Errors
	}
	errors.As(err, &list)
	return list
}

// Message is an error in the words of the one who finally shows it.
func Message(err error) string {
	if list := Answered(err); len(list) > 0 {
		var lines []string
		for _, e := range list {
			lines = append(lines, e.Message)
		}
		return strings.Join(lines, "\n")
	}
	if i := strings.Index(err.Error(), client.ErrUnreachable.Error()); i > 0 {
		return err.Error()[i:]
	}
	return err.Error()
}

// LoggedError has been written to the log already, in the log's form.
type LoggedError struct{ error }

func (e LoggedError) Unwrap() error { return e.error }

// Logged writes what ended a process to a log in JSON, whose readers understand nothing else.
func Logged(format string, log *slog.Logger, err error) error {
	if err == nil || format != "json" {
		return err
	}
	log.Error("stopped", "error", Message(err))
	return LoggedError{err}
}
