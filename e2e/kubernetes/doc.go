// Package kubernetes tries Catalyst with a real kube-apiserver: services that are found among its Services, services of
// other sites that it is given, and the Helm chart. Its tests want root, and run in a network of their own.
package kubernetes
