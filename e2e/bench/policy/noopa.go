//go:build !opa

package main

import (
	"context"
	"errors"

	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// newOPA says that there is none: who only wants to know whether this program compiles need not compile OPA.
func newOPA(context.Context, int) (extauthz.Decider, error) {
	return nil, errors.New("this program was built without OPA: build it with -tags opa")
}
