package telemetry

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// How a signal goes out, as OTEL_EXPORTER_OTLP_PROTOCOL spells it.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// signal is traces, metrics or logs.
type signal string

const (
	traces  signal = "TRACES"
	metrics signal = "METRICS"
	logs    signal = "LOGS"
)

// export is how a signal goes out; the zero value is not at all.
type export struct{ protocol string }

// environment reads the variables of the OpenTelemetry specification ("Environment Variable Specification" and
// "OpenTelemetry Protocol Exporter"). What the SDK's exporters read themselves (headers, timeouts, compression,
// certificates, intervals, batch sizes, samplers, resource attributes) is left to them. A value that would be ignored
// in silence is an error that names the variable.
type environment struct{ get func(string) string }

func processEnvironment() environment { return environment{os.Getenv} }

// disabled tells whether nothing is to be exported at all.
func (e environment) disabled() bool { return strings.EqualFold(e.get("OTEL_SDK_DISABLED"), "true") }

// of returns the variable for a signal, or the general one, with the name of the one that is set.
func (e environment) of(s signal, rest string) (name, value string) {
	name = "OTEL_EXPORTER_OTLP_" + string(s) + "_" + rest
	if v := e.get(name); v != "" {
		return name, v
	}
	name = "OTEL_EXPORTER_OTLP_" + rest
	return name, e.get(name)
}

// export says how a signal goes out. Nothing goes out unless an endpoint is set or an exporter is asked for.
func (e environment) export(s signal) (export, error) {
	if e.disabled() {
		return export{}, nil
	}
	selector := "OTEL_" + string(s) + "_EXPORTER"
	chosen := e.get(selector)
	known := []string{"", "otlp", "none"}
	switch s {
	case metrics:
		known = append(known, "prometheus") // which is there always, at admin
	case logs:
		known = append(known, "console") // which is there always, on standard error
	}
	if !slices.Contains(known, chosen) {
		return export{}, fmt.Errorf("%s=%s: not supported: want %s", selector, chosen, strings.Join(known[1:], ", "))
	}
	endpointName, endpoint := e.of(s, "ENDPOINT")
	if chosen != "" && chosen != "otlp" || chosen == "" && endpoint == "" {
		return export{}, nil
	}
	protocolName, protocol := e.of(s, "PROTOCOL")
	switch protocol {
	case "":
		protocol = protocolGRPC
	case protocolGRPC, protocolHTTP:
	default:
		return export{}, fmt.Errorf("%s=%s: not supported: want %s or %s", protocolName, protocol, protocolGRPC, protocolHTTP)
	}
	return export{protocol}, e.checkEndpoint(s, endpointName, endpoint)
}

// checkEndpoint refuses an endpoint that the exporters would take and then send nothing to.
func (e environment) checkEndpoint(s signal, name, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s: want a URL such as http://127.0.0.1:4317 or https://collector.example:4318", name)
	}
	if u.Scheme == "https" {
		return nil
	}
	var errs []error
	for _, rest := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		if file, value := e.of(s, rest); value != "" {
			errs = append(errs, fmt.Errorf("%s is set, but %s is http:// and has no TLS: make it https://, or unset %s", file,
				name, file))
		}
	}
	return errors.Join(errs...)
}

// samplers are those of the specification that the SDK has.
func samplers() []string {
	return []string{"", "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off",
		"parentbased_traceidratio"}
}

// check returns what of the environment is not understood, although the specification names it.
func (e environment) check() error {
	if e.disabled() {
		return nil
	}
	var errs []error
	if v := e.get("OTEL_TRACES_SAMPLER"); !slices.Contains(samplers(), v) {
		errs = append(errs, fmt.Errorf("OTEL_TRACES_SAMPLER=%s: not supported: want %s", v,
			strings.Join(samplers()[1:], ", ")))
	}
	for p := range strings.SplitSeq(e.get("OTEL_PROPAGATORS"), ",") {
		switch strings.TrimSpace(p) {
		case "", "tracecontext", "baggage", "none":
		default:
			errs = append(errs, fmt.Errorf("OTEL_PROPAGATORS=%s: not supported: traces travel as W3C tracecontext",
				strings.TrimSpace(p)))
		}
	}
	return errors.Join(errs...)
}
