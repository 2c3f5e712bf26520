// Package http lets a third party's client audit the gateway: does it speak GraphQL over HTTP? Run it with make e2e.
package http
