// Package extauthz answers Envoy's external authorization checks (envoy.service.auth.v3, HTTP filter) by policy. It
// turns a CheckRequest into a policy.Call and a decision into a CheckResponse, and does nothing else: what is
// permitted is the engine's affair, what a token says its verifier's.
//
//	srv := extauthz.New(extauthz.Config{Engine: engine, ServiceHeader: "x-catalyst-service", Log: log})
//	err := srv.Serve(ctx, listener)
//
// Every answer begins as a denial, and denies by CheckResponse.status: an empty CheckResponse, or one whose status
// was forgotten, would be an allowance, and a gRPC error of any code counts as a failure of the service. What goes
// wrong here is an error_response, which Envoy answers as it is told for failures (503).
//
// Who calls is taken from the certificate of the connection (source.certificate), never from a header. Which service
// is called is taken from what chose the route: context_extensions of the route, or the header by which this node's
// own Envoy chose it, never from the path.
package extauthz
