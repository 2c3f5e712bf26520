package envoy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Overload is what an Envoy may use of its machine. What is more is refused, so that it neither ends for want of
// files nor is ended for want of memory. A zero field means no limit.
type Overload struct {
	// Heap is how many bytes of memory it may take. At nine tenths it gives back what it does not use and ends the
	// streams that hold most, at nineteen twentieths it refuses requests.
	Heap uint64
	// Connections is how many connections it accepts in all; those of its own sockets do not count.
	Connections uint32
	// Listeners is how many of them a listener accepts, by its name.
	Listeners map[string]uint32
	// Pressure is a file with a number of 0 to 1: how much of its descriptors it uses, as its Supervisor measures it.
	// From six tenths on more and more connections to workloads and next hops are refused, from 0.85 on all. Empty for
	// an Envoy without a supervisor.
	Pressure string
}

const (
	monitors     = "type.googleapis.com/envoy.extensions.resource_monitors."
	heapMonitor  = "envoy.resource_monitors.fixed_heap"
	connMonitor  = "envoy.resource_monitors.global_downstream_max_connections"
	filesMonitor = "envoy.resource_monitors.injected_resource"
)

func action(name, monitor string, at float64) map[string]any {
	return map[string]any{"name": name, "triggers": []any{map[string]any{"name": monitor,
		"threshold": map[string]any{"value": at}}}}
}

func scaled(name, monitor string, from, to float64) map[string]any {
	return map[string]any{"name": name, "triggers": []any{map[string]any{"name": monitor, "scaled": map[string]any{
		"scaling_threshold": from, "saturation_threshold": to}}}}
}

// add puts Envoy's overload manager and its other limits into a bootstrap.
func (o *Overload) add(bootstrap map[string]any) {
	var resources, actions, points []any
	if o.Heap > 0 {
		resources = append(resources, map[string]any{"name": heapMonitor, "typed_config": map[string]any{
			"@type": monitors + "fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": strconv.FormatUint(o.Heap, 10)}})
		actions = append(actions,
			action("envoy.overload_actions.shrink_heap", heapMonitor, 0.9),
			scaled("envoy.overload_actions.reset_high_memory_stream", heapMonitor, 0.9, 0.98),
			action("envoy.overload_actions.stop_accepting_requests", heapMonitor, 0.95))
	}
	if o.Connections > 0 {
		resources = append(resources, map[string]any{"name": connMonitor, "typed_config": map[string]any{
			"@type":                             monitors + "downstream_connections.v3.DownstreamConnectionsConfig",
			"max_active_downstream_connections": strconv.Itoa(int(o.Connections))}})
		timeouts := scaled("envoy.overload_actions.reduce_timeouts", connMonitor, 0.5, 0.9)
		timeouts["typed_config"] = map[string]any{"@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
			"timer_scale_factors": []any{
				map[string]any{"timer": "TRANSPORT_SOCKET_CONNECT", "min_timeout": "1s"},
				map[string]any{"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "5s"},
			}}
		actions = append(actions, timeouts)
	}
	if o.Pressure != "" {
		resources = append(resources, map[string]any{"name": filesMonitor, "typed_config": map[string]any{
			"@type": monitors + "injected_resource.v3.InjectedResourceConfig", "filename": o.Pressure}})
		for _, point := range []string{"connection_pool_new_connection", "tcp_proxy_upstream_connect"} {
			points = append(points, scaled("envoy.load_shed_points."+point, filesMonitor, 0.6, 0.85))
		}
	}
	if len(resources) > 0 {
		bootstrap["overload_manager"] = map[string]any{
			"refresh_interval": "0.05s", "resource_monitors": resources, "actions": actions, "loadshed_points": points,
			// Streams that hold a mebibyte and more are those that may be ended for want of memory.
			"buffer_factory_config": map[string]any{"minimum_account_to_track_power_of_two": 20},
		}
	}
	limits := map[string]any{"http.max_requests_per_io_cycle": requestsAtOnce}
	for name, most := range o.Listeners {
		limits["envoy.resource_limits.listener."+name+".connection_limit"] = most
	}
	bootstrap["layered_runtime"] = map[string]any{"layers": []any{map[string]any{"name": "limits",
		"static_layer": limits}}}
}

// requestsAtOnce is how many requests of one connection a worker begins before it looks at other connections: a peer
// that begins and resets streams as fast as it can has others wait for so many, and not for a buffer full of them.
const requestsAtOnce = 16

// Descriptors returns how many files a process that this one starts may have open, Envoy among them, which takes all
// that it may.
func Descriptors() (uint32, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("ask for the limit of open files: %w", err)
	}
	return uint32(min(limit.Max, 1<<20)), nil //nolint:gosec // it fits
}

// Memory returns how many bytes this process and its children may take: what the machine has, or what the control
// group grants if that is less.
func Memory() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	var kib uint64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err != nil {
		return 0, fmt.Errorf("read /proc/meminfo: %w", err)
	}
	most := kib << 10
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // another version of control groups, or none
		}
		if granted, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil { // or "max"
			most = min(most, granted)
		}
	}
	return most, nil
}

// HalfOfMemory is what an Envoy may take where nobody says otherwise, in bytes: half of Memory.
func HalfOfMemory() (uint64, error) {
	memory, err := Memory()
	return memory / 2, err
}

// pressure tells an Envoy how much of its descriptors it uses.
type pressure struct {
	file string
	told float64
}

func newPressure(file string) (*pressure, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // nobody asks
	}
	p := &pressure{file: file}
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), p.write(0)); err != nil {
		return nil, err
	}
	return p, nil
}

// pressureEvery is how often it is measured, and how often Envoy looks: it opens some thousand connections in a second.
const pressureEvery = 50 * time.Millisecond

// measure looks how many descriptors a process has open and says so if that has changed by a hundredth.
func (p *pressure) measure(pid int) error {
	dir := fmt.Sprintf("/proc/%d", pid)
	most, err := openLimit(dir)
	if err != nil {
		return err
	}
	files, err := os.Open(filepath.Join(dir, "fd"))
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }()
	open, err := countFiles(files)
	if err != nil {
		return err
	}
	now := min(float64(open)/float64(most), 1)
	if now-p.told < 0.01 && p.told-now < 0.01 {
		return nil
	}
	return p.write(now)
}

// countFiles asks the kernel (Linux 6.2 and later tell by the size of the directory), or counts.
func countFiles(dir *os.File) (int, error) {
	info, err := dir.Stat()
	if err == nil && info.Size() > 0 {
		return int(info.Size()), nil
	}
	names, err := dir.Readdirnames(-1)
	return len(names), err
}

// openLimit reads how many files a process may have open.
func openLimit(dir string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "limits"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			var soft uint64
			if _, err := fmt.Sscan(rest, &soft); err == nil && soft > 0 {
				return soft, nil
			}
			return 1 << 20, nil // unlimited
		}
	}
	return 0, fmt.Errorf("%s/limits names no limit of open files", dir)
}

// write puts a file in place of the old one: Envoy looks again when a file is moved there.
func (p *pressure) write(value float64) error {
	next := p.file + ".new"
	if err := os.WriteFile(next, []byte(strconv.FormatFloat(value, 'f', 3, 64)), 0o600); err != nil {
		return err
	}
	p.told = value
	return os.Rename(next, p.file)
}
