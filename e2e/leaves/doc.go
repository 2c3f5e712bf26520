// Package leaves holds the test that lets a network live on certificates of 60 s for as long as one has patience: see
// leaves_test.go.
package leaves
