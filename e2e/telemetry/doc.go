// Package telemetry tries what nodes send by OTLP against an OpenTelemetry Collector, with the configuration of
// compose/observability. make telemetry builds the Collector with its own builder first, which takes some minutes.
package telemetry
