package telemetry

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
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
// "OpenTelemetry Protocol Exporter"). The SDK reads headers, timeouts, compression, certificates, intervals, batch
// sizes, samplers and resource attributes itself. Where it would ignore a value in silence, or with a word in its own
// log alone, that is an error here which names the variable.
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
	return errors.Join(append(errs, e.numbers()...)...)
}

// numbers returns which variables are no number, or not one of their range. The SDK goes on with its default for them.
func (e environment) numbers() (errs []error) {
	names := []string{"OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"}
	for _, of := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		names = append(names, "OTEL_EXPORTER_OTLP_"+of+"TIMEOUT")
	}
	for _, of := range []string{"OTEL_BSP_", "OTEL_BLRP_"} {
		names = append(names, of+"SCHEDULE_DELAY", of+"EXPORT_TIMEOUT", of+"MAX_QUEUE_SIZE", of+"MAX_EXPORT_BATCH_SIZE")
	}
	for _, name := range names {
		v := e.get(name)
		if n, err := strconv.Atoi(v); v != "" && (err != nil || n < 0) {
			unit := "milliseconds"
			if strings.Contains(name, "_MAX_") {
				unit = "records"
			}
			errs = append(errs, fmt.Errorf("%s=%s: want a whole number of %s, such as 5000", name, v, unit))
		}
	}
	for _, of := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		name := "OTEL_EXPORTER_OTLP_" + of + "COMPRESSION"
		if v := e.get(name); !slices.Contains([]string{"", "gzip", "none"}, v) {
			errs = append(errs, fmt.Errorf("%s=%s: not supported: want gzip or none", name, v))
		}
	}
	if v := e.get("OTEL_TRACES_SAMPLER_ARG"); v != "" && strings.HasSuffix(e.get("OTEL_TRACES_SAMPLER"), "traceidratio") {
		if share, err := strconv.ParseFloat(v, 64); err != nil || share < 0 || share > 1 {
			errs = append(errs, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%s: want a share of 0 to 1, such as 0.1", v))
		}
	}
	return errs
}

// once joins errors; what several signals say of a variable that they share is said once.
func once(errs ...error) error {
	var all []error
	said := map[string]bool{}
	for _, err := range errs {
		if err != nil && !said[err.Error()] {
			said[err.Error()] = true
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
