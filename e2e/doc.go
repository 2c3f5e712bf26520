// Package e2e runs the scenarios that need real processes: nodes, their Envoys, and traffic between them. They are
// built with the tag e2e (make e2e).
package e2e
