// Package containers tries Catalyst with a real Docker Engine: services that are found among its containers, and the
// Compose files. Its tests want root, and run in a network of their own.
package containers
