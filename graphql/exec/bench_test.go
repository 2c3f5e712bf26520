package exec

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// The answers of real plans are those that the data gives directly, byte for byte but for the order.
func TestWorld(t *testing.T) {
	w := newWorld(t, 5, 3)
	e := w.executor(t, w, nil)
	for _, q := range []string{bigQuery, smallQuery,
		`{ topProducts { x: name y: name reviews { author { id name } } } }`,
		`{ users { reviews { product { shippingEstimate } } } me { __typename username } }`,
	} {
		res := e.Execute(t.Context(), &Request{Plan: w.plan(t, q)})
		if got := decode(t, string(res.Body)); !reflect.DeepEqual(got, w.expect(t, q)) {
			t.Errorf("%s\n got %s\nwant %v", q, res.Body, w.expect(t, q))
		}
	}
}

// cpu is the processor time the process has used.
func cpu() int64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano()
}

func benchmark(b *testing.B, e *Executor, req *Request) {
	b.Helper()
	res := e.Execute(b.Context(), req)
	if res.Errors > 0 {
		b.Fatalf("%.500s", res.Body)
	}
	size := len(res.Body)
	stats := res.Stats
	res.Release()
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e.Execute(b.Context(), req).Release()
		}
	})
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/1e3, "cpu-µs/op")
	b.ReportMetric(float64(size), "answer-B")
	b.ReportMetric(float64(stats.Requests), "requests/op")
	b.ReportMetric(float64(stats.Entities), "entities/op")
}

// loopback serves the world's subgraphs over HTTP.
func (w *world) loopback(b *testing.B) (map[string]string, func()) {
	urls := map[string]string{}
	var servers []*httptest.Server
	for _, s := range worldSubgraphs() {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			rw.Header().Set("Content-Type", "application/json")
			rw.Write(w.answer(s.Name, body))
		}))
		servers = append(servers, server)
		urls[s.Name] = server.URL
	}
	return urls, func() {
		for _, s := range servers {
			s.Close()
		}
	}
}

// The figures of memory are the executor's own. Those of loopback have the cost of HTTP on both sides.
func BenchmarkExecute(b *testing.B) {
	w := newWorld(b, 9, 5)
	urls, closeAll := w.loopback(b)
	defer closeAll()
	for name, q := range map[string]string{"big": bigQuery, "small": smallQuery} {
		req := &Request{Plan: w.plan(b, q)}
		b.Run(name+"/memory", func(b *testing.B) { benchmark(b, w.executor(b, w, nil), req) })
		b.Run(name+"/loopback", func(b *testing.B) { benchmark(b, w.executor(b, nil, urls), req) })
	}
}

func BenchmarkScan(b *testing.B) {
	body := []byte(`{"data":{"topProducts":[` +
		strings.Repeat(`{"__typename":"Product","upc":"12","name":"Product of the name 12","price":1200,"weight":22,"reviews":[{"id":"1","body":"Review 1: some words about it that are not too long"}]},`, 500) + `null]}}`)
	var t tree
	t.reset(testTypes, 1<<22)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		t.reset(testTypes, 1<<22)
		if _, err := t.scan(body); err != nil {
			b.Fatal(err)
		}
	}
}
