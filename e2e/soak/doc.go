// Package soak holds the test that lets real nodes run under churn for as long as one has patience: see soak_test.go.
package soak
