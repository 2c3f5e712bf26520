// Package scenarios holds the table of what may go wrong in routing: each scenario with the tests that live through
// it, and for each test the guard without which it fails. The documentation is written from the table, and make
// mutants removes each guard in turn, to see its test fail.
package scenarios
