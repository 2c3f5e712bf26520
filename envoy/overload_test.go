package envoy

import "testing"

// An Envoy begins few requests of one connection at a time, whatever else it has limits of.
func TestOneConnectionBeginsFewRequestsAtATime(t *testing.T) {
	for _, o := range []Overload{{}, {Listeners: map[string]uint32{"mesh-ingress": 100}}} {
		bootstrap := map[string]any{}
		o.add(bootstrap)
		runtime, _ := bootstrap["layered_runtime"].(map[string]any)
		layers, _ := runtime["layers"].([]any)
		if len(layers) != 1 {
			t.Fatalf("%+v: %d layers of the runtime", o, len(layers))
		}
		values, _ := layers[0].(map[string]any)["static_layer"].(map[string]any)
		if values["http.max_requests_per_io_cycle"] != 16 || len(values) != 1+len(o.Listeners) {
			t.Errorf("%+v: got %v", o, values)
		}
	}
}
