// Package operator is a node's operator API: GraphQL over a Unix socket, with a subscription for everything that
// changes. It translates and checks; what is asked is done by a Backend, which the daemon is. The command line is its
// client (package client).
package operator
