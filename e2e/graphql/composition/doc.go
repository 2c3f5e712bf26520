// Package composition compares our composer with those of others, under the build tag e2e.
package composition
