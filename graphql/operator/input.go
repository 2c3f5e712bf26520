package operator

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// BadInput is the code of errors that are the caller's: extensions.code of the answer.
const BadInput = "BAD_INPUT"

// InputError is a mistake in what the API was asked: the same question will never have another answer.
type InputError struct{ Err error }

func (e InputError) Error() string { return e.Err.Error() }

func (e InputError) Unwrap() error { return e.Err }

// Input makes an error the caller's; nil stays nil.
func Input(err error) error {
	if err == nil {
		return nil
	}
	return InputError{err}
}

// present gives the caller's errors, and refusals, their code.
func present(ctx context.Context, err error) *gqlerror.Error {
	out := graphql.DefaultErrorPresenter(ctx, err)
	var in InputError
	if errors.As(err, &in) {
		if out.Extensions == nil {
			out.Extensions = map[string]any{}
		}
		out.Extensions["code"] = BadInput
	}
	var no DeniedError
	if errors.As(err, &no) {
		if out.Extensions == nil {
			out.Extensions = map[string]any{}
		}
		out.Extensions["code"] = Forbidden
		if no.Decision != "" {
			out.Extensions["decision"] = no.Decision
		}
	}
	return out
}
