// Package chaos holds the test that lets real nodes and Envoys live through faults of every kind, in any order: see
// chaos_test.go.
package chaos
