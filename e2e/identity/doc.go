// Package identity holds tests of the organisation's identity against software of others.
package identity
