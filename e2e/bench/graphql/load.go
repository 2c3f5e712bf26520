package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// figures are what one gateway did with one operation.
type figures struct {
	requests int
	seconds  float64
	p50, p99 time.Duration
	bytes    int // of one answer
}

// load runs connections closed loops for a while and compares every answer with the first.
func load(ctx context.Context, url, query string, connections int, how time.Duration) (figures, error) {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return figures{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	want, err := post(ctx, client, url, body)
	if err != nil {
		return figures{}, err
	}
	if bytes.Contains(want, []byte(`"errors"`)) {
		return figures{}, fmt.Errorf("the answer has errors: %.300s", want)
	}
	var mu sync.Mutex
	var times []time.Duration
	var failures error
	var all sync.WaitGroup
	began := time.Now()
	until := began.Add(how)
	for range connections {
		all.Go(func() {
			var own []time.Duration
			for time.Now().Before(until) {
				at := time.Now()
				got, err := post(ctx, client, url, body)
				if err == nil && !bytes.Equal(got, want) {
					err = errors.New("the answer is another one than before")
				}
				if err != nil {
					mu.Lock()
					failures = errors.Join(failures, err)
					mu.Unlock()
					return
				}
				own = append(own, time.Since(at))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	all.Wait()
	if failures != nil {
		return figures{}, failures
	}
	slices.Sort(times)
	return figures{
		requests: len(times), seconds: time.Since(began).Seconds(), bytes: len(want),
		p50: times[len(times)/2], p99: times[len(times)*99/100],
	}, nil
}

func post(ctx context.Context, client *http.Client, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, b)
	}
	return b, err
}

// usage returns the CPU time and the peak memory of a process group.
func usage(group int) (cpu time.Duration, rss int64) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		rest := string(b[bytes.LastIndexByte(b, ')')+2:])
		f := strings.Fields(rest)
		if pgrp, _ := strconv.Atoi(f[2]); pgrp != group {
			continue
		}
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		cpu += time.Duration(user+system) * time.Second / 100
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		for _, line := range strings.Split(string(status), "\n") {
			if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
				rss += n << 10
			}
		}
	}
	return cpu, rss
}

// kill ends a process group.
func kill(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }
