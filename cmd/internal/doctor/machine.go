package doctor

import (
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/catalyst-router/catalyst/envoy"
)

// limits are what the machine grants the node and its Envoy.
type limits struct {
	descriptors    uint64 // open files, as the hard limit has it
	descriptorsErr error
	memory         uint64 // bytes
	memoryErr      error
	socketPath     int // bytes of the longest Unix socket's path below the data directory
}

// Bounds of limits. Two fifths of Envoy's descriptors are connections that it accepts.
const (
	fewDescriptors   = 512 // envoy.descriptors takes no less
	someDescriptors  = 16_384
	littleMemory     = 256 << 20
	someMemory       = 512 << 20
	longestSocket    = 107 // unix(7)
	connectionsShare = 5   // 2 of 5
)

func (e *examination) limits() limits {
	var l limits
	if r := e.cfg.Running; r != nil && r.PID > 0 {
		l.descriptors, l.descriptorsErr = descriptorsOf(r.PID)
	} else {
		var n uint32
		n, l.descriptorsErr = envoy.Descriptors()
		l.descriptors = uint64(n)
	}
	if n := e.cfg.Node.Envoy.Descriptors; n > 0 {
		l.descriptors = min(l.descriptors, uint64(n)) //nolint:gosec // configuration has checked it
	}
	l.memory, l.memoryErr = envoy.Memory()
	if data, err := filepath.Abs(e.cfg.Node.Data); err == nil {
		l.socketPath = len(filepath.Join(data, "envoy-admin.sock"))
	}
	return l
}

func judgeLimits(l limits) []Finding {
	files := Finding{checkLimits, OK, "open files", fmt.Sprintf("%d, of which Envoy accepts %d connections", l.descriptors,
		l.descriptors*2/connectionsShare), ""}
	const raise = "raise it: LimitNOFILE=262144 in the node's unit (systemctl edit catalyst-node), or ulimit -Hn"
	switch {
	case l.descriptorsErr != nil:
		files.State, files.What = Unknown, l.descriptorsErr.Error()
	case l.descriptors < fewDescriptors:
		files.State, files.Advice = Wrong, raise
	case l.descriptors < someDescriptors:
		files.State, files.Advice = Warning, raise
	}
	memory := Finding{checkLimits, OK, "memory", fmt.Sprintf("%d MiB", l.memory>>20), ""}
	switch {
	case l.memoryErr != nil:
		memory.State, memory.What = Unknown, l.memoryErr.Error()
	case l.memory < littleMemory:
		memory.State, memory.Advice = Wrong, "a node with its Envoy takes 150 MiB before it carries anything: grant more"
	case l.memory < someMemory:
		memory.State, memory.Advice = Warning, "enough for few services: see docs/sizing.md"
	}
	all := []Finding{files, memory}
	if l.socketPath > longestSocket {
		all = append(all, Finding{checkLimits, Wrong, "data", fmt.Sprintf("Unix sockets below it would have %d "+
			"characters, and "+
			"%d are possible", l.socketPath, longestSocket), "choose a shorter directory"})
	}
	return all
}

// space is what is left of the file system of a directory.
type space struct {
	path                string
	free, total         uint64 // bytes, for whoever is not root
	files, filesOfTotal uint64 // inodes; 0 of 0 where the file system has none
	err                 error
}

const (
	noSpace     = 64 << 20
	littleSpace = 1 << 30
)

func (e *examination) disks() []space {
	var all []space
	for _, dir := range []string{e.cfg.Node.Data, e.cfg.Node.Identity} {
		s := space{path: dir}
		var st syscall.Statfs_t
		if s.err = syscall.Statfs(dir, &st); s.err == nil {
			size := uint64(st.Bsize) //nolint:gosec,unconvert // its type differs between systems
			s.free, s.total = uint64(st.Bavail)*size, st.Blocks*size
			s.files, s.filesOfTotal = st.Ffree, st.Files
		}
		if len(all) == 0 || all[0].total != s.total || all[0].free != s.free || s.err != nil { // not the same one twice
			all = append(all, s)
		}
	}
	return all
}

func judgeDisks(all []space) []Finding {
	var out []Finding
	for _, s := range all {
		f := Finding{checkDisk, OK, s.path, fmt.Sprintf("%d MiB of %d are free", s.free>>20, s.total>>20), ""}
		const advice = "free some space: while the disk is full the node serves and takes no orders"
		switch {
		case s.err != nil:
			f.State, f.What = Unknown, s.err.Error()
		case s.free < noSpace:
			f.State, f.Advice = Wrong, advice
		case s.filesOfTotal > 0 && s.files < 100:
			f.State, f.What, f.Advice = Wrong, fmt.Sprintf("%d files may be made still (inodes)", s.files), advice
		case s.free < littleSpace:
			f.State, f.Advice = Warning, advice
		}
		out = append(out, f)
	}
	return out
}
