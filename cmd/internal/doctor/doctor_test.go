package doctor

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/envoy"
)

// said is a finding in one line, for tables.
func said(all []Finding) string {
	var lines []string
	for _, f := range all {
		line := string(f.State) + " " + f.Where + ": " + f.What
		if f.State == Wrong && f.Advice == "" {
			line += " (AND NO ADVICE)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// want compares findings with parts of what they are to say; each has to be in one of them, and none may be wrong that
// is not named.
func want(t *testing.T, name string, all []Finding, parts ...string) {
	t.Helper()
	text := said(all)
	wrong := 0
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: got\n%s\nwant %q", name, text, p)
		}
		if strings.HasPrefix(p, string(Wrong)) {
			wrong++
		}
	}
	if n := strings.Count("\n"+text, "\n"+string(Wrong)+" "); n != wrong {
		t.Errorf("%s: %d are wrong, want %d:\n%s", name, n, wrong, text)
	}
	if strings.Contains(text, "NO ADVICE") {
		t.Errorf("%s: %s", name, text)
	}
}

func TestFiles(t *testing.T) {
	good := file{path: "key.pem", private: true, mode: 0o600, uid: 5}
	with := func(change func(*file)) []file { f := good; change(&f); return []file{f} }
	want(t, "good", judgeFiles([]file{good}, 5), "ok identity and data directory: 1 files")
	want(t, "readable", judgeFiles(with(func(f *file) { f.mode = 0o640 }), 5),
		"wrong key.pem: others may read or write it "+
			"(mode 0640)")
	want(t, "writable", judgeFiles(with(func(f *file) { f.mode, f.private = 0o664, false }), 5),
		"wrong key.pem: others may write it (mode 0664)")
	want(t, "public", judgeFiles(with(func(f *file) { f.mode, f.private = 0o644, false }), 5), "ok ")
	want(t, "another's", judgeFiles(with(func(f *file) { f.uid = 0 }), 5), "wrong key.pem: it belongs to user 0, and the "+
		"node runs as user 5")
	want(t, "whose is not known", judgeFiles(with(func(f *file) { f.uid = 0 }), -1), "ok ")
	want(t, "missing", judgeFiles(with(func(f *file) { f.err = fs.ErrNotExist }), 5), "wrong key.pem: is not there")
	want(t, "hidden", judgeFiles(with(func(f *file) { f.err = fs.ErrPermission }), 5),
		"unknown key.pem: this user may not")
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ago := now.Add(-time.Hour)
	want(t, "alone", judgeClock(nil, ago, now, ""), "ok this machine: it is plausible")
	want(t, "agrees", judgeClock([]reading{{whose: "a", ahead: -2 * time.Second}}, ago, now, ""), "ok a: its clock agrees")
	want(t, "behind", judgeClock([]reading{{whose: "a", ahead: 10 * time.Second}}, ago, now, ""),
		"warning a: its clock and this machine's are 10s apart: this machine is behind")
	want(t, "far ahead", judgeClock([]reading{{whose: "a", ahead: -2 * time.Hour}}, ago, now, ""),
		"wrong a: its clock and this machine's are 2h0m0s apart: this machine is ahead")
	want(t, "before its certificate", judgeClock(nil, now.Add(time.Minute), now, ""),
		"wrong this machine: its clock says "+
			"2026-11-30T12:00:00Z, which is before")
	want(t, "nobody answers", judgeClock([]reading{{whose: "a", err: errors.New("refused")}}, ago, now, "nobody keeps it"),
		"unknown a: its clock could not be read: refused", "warning this machine: nobody keeps it")
}

func TestPorts(t *testing.T) {
	at := func(holder *process, err error) []port {
		return []port{{key: "admin", address: "127.0.0.1:1", holder: holder, err: err}}
	}
	running := &Running{PID: 7, EnvoyPID: 8}
	want(t, "free", judgePorts(at(nil, nil), nil), "ok admin 127.0.0.1:1: it is free")
	want(t, "nobody", judgePorts(at(nil, nil), running), "wrong admin 127.0.0.1:1: the node does not listen there")
	want(t, "ours", judgePorts(at(&process{7, "catalyst"}, nil), running), "ok admin 127.0.0.1:1: the node listens there")
	want(t, "another's", judgePorts(at(&process{9, "nginx"}, nil), running), "wrong admin 127.0.0.1:1: process 9 (nginx)")
	want(t, "another's, stopped", judgePorts(at(&process{9, "nginx"}, nil), nil),
		"wrong admin 127.0.0.1:1: process 9 (nginx)")
	want(t, "hidden", judgePorts(at(&process{}, nil), running), "unknown admin 127.0.0.1:1: somebody listens")
	want(t, "hidden, stopped", judgePorts(at(&process{}, nil), nil), "wrong admin 127.0.0.1:1: another user's process")
	want(t, "no such address", judgePorts(at(nil, &net.OpError{Err: syscall.EADDRNOTAVAIL}), nil),
		"wrong admin 127.0.0.1:1: "+
			"this machine does not have that address")
	want(t, "low", judgePorts(at(nil, &net.OpError{Err: syscall.EACCES}), nil),
		"wrong admin 127.0.0.1:1: this user may not")
	ingress := []port{{key: "envoy.ingress", address: "127.0.0.1:2", envoys: true, holder: &process{8, "envoy"}}}
	want(t, "Envoy's", judgePorts(ingress, running), "ok envoy.ingress 127.0.0.1:2: Envoy listens there")
	want(t, "Envoy runs on", judgePorts(ingress, nil), "ok envoy.ingress 127.0.0.1:2: Envoy (process 8) runs on")
}

// Whoever listens is found by its address, or by one that is in the way of it.
func TestWhoListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p := listener(l.Addr().String()); p.pid != os.Getpid() {
		t.Errorf("process %d listens at %s, want this one (%d)", p.pid, l.Addr(), os.Getpid())
	}
	_, number, _ := net.SplitHostPort(l.Addr().String())
	if p := listener("127.0.0.2:" + number); p.pid != 0 {
		t.Errorf("process %d listens at another address", p.pid)
	}
	if p := listener("0.0.0.0:" + number); p.pid != os.Getpid() {
		t.Errorf("process %d is in the way of 0.0.0.0", p.pid)
	}
	socket := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if pid := Serving(socket); pid != os.Getpid() {
		t.Errorf("process %d serves the socket, want %d", pid, os.Getpid())
	}
	if pid := Serving(socket + "-none"); pid != 0 {
		t.Errorf("process %d serves a socket that is not there", pid)
	}
}

func TestLimitsAndDisks(t *testing.T) {
	good := limits{descriptors: 1 << 20, memory: 4 << 30, socketPath: 40}
	with := func(change func(*limits)) []Finding { l := good; change(&l); return judgeLimits(l) }
	want(t, "good", judgeLimits(good), "ok open files: 1048576", "ok memory: 4096 MiB")
	want(t, "few files", with(func(l *limits) { l.descriptors = 1024 }), "warning open files: 1024, of which Envoy "+
		"accepts 409")
	want(t, "no files", with(func(l *limits) { l.descriptors = 256 }), "wrong open files: 256")
	want(t, "memory", with(func(l *limits) { l.memory = 128 << 20 }), "wrong memory: 128 MiB")
	want(t, "some memory", with(func(l *limits) { l.memory = 400 << 20 }), "warning memory: 400 MiB")
	want(t, "path", with(func(l *limits) { l.socketPath = 108 }), "wrong data: Unix sockets below it would have 108")
	want(t, "unknown", with(func(l *limits) { l.descriptorsErr, l.memoryErr = errors.New("x"), errors.New("y") }),
		"unknown open files: x", "unknown memory: y")

	room := space{path: "data", free: 10 << 30, total: 20 << 30, files: 1000, filesOfTotal: 2000}
	change := func(change func(*space)) []Finding { s := room; change(&s); return judgeDisks([]space{s}) }
	want(t, "room", judgeDisks([]space{room}), "ok data: 10240 MiB of 20480")
	want(t, "little", change(func(s *space) { s.free = 500 << 20 }), "warning data: 500 MiB")
	want(t, "none", change(func(s *space) { s.free = 1 << 20 }), "wrong data: 1 MiB")
	want(t, "inodes", change(func(s *space) { s.files = 3 }), "wrong data: 3 files may be made")
	want(t, "no inodes known", change(func(s *space) { s.files, s.filesOfTotal = 0, 0 }), "ok data")
}

func TestEnvoyVersion(t *testing.T) {
	if v := versionOf("\nenvoy  version: ab12/1.40.0/Clean/RELEASE/BoringSSL\n"); v != "1.40.0" {
		t.Errorf("version %q", v)
	}
	at := dataplane{wanted: true, path: "/e", version: "1.40.1"}
	with := func(change func(*dataplane)) []Finding { d := at; change(&d); return judgeEnvoy(d) }
	want(t, "good", judgeEnvoy(at), "ok /e: version 1.40.1")
	want(t, "newer", with(func(d *dataplane) { d.version = "2.0.0" }), "ok /e: version 2.0.0")
	want(t, "older", with(func(d *dataplane) { d.version = "1.9.4" }), "warning /e: version 1.9.4")
	want(t, "none wanted", judgeEnvoy(dataplane{}), "ok Envoy: this node runs none")
	want(t, "none", judgeEnvoy(dataplane{wanted: true, err: errors.New("no Envoy found")}), "wrong Envoy: no Envoy found")
	want(t, "broken", with(func(d *dataplane) { d.err = errors.New("exec format error") }), "wrong /e: exec format error")
	want(t, "silent", with(func(d *dataplane) { d.version = "" }), "unknown /e: it does not say")
	want(t, "replaced", with(func(d *dataplane) { d.replaced = true }), "warning /e: version 1.40.1 lies there")
	pins, err := os.ReadFile("../../../e2e/tools/envoy.txt")
	if err != nil || !strings.Contains(string(pins), "=="+envoy.Tried+" ") {
		t.Errorf("envoy.Tried is %s, and make tools installs another: %v", envoy.Tried, err)
	}
}

func TestCertificates(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	v := identity.Validity{Of: identity.OfSVID, Org: "acme.example", From: now.Add(-time.Hour), Until: now.Add(time.Hour)}
	with := func(change func(*identity.Validity)) []Finding {
		w := v
		change(&w)
		return judgeValidities("id", []identity.Validity{w}, now)
	}
	want(t, "good", with(func(*identity.Validity) {}), "ok id: the node's certificate: until 2026-11-30T13:00:00Z")
	want(t, "soon", with(func(v *identity.Validity) { v.Until = now.Add(time.Minute) }),
		"warning id: the node's certificate: "+
			"it ends soon")
	want(t, "over", with(func(v *identity.Validity) { v.Until = now }), "wrong id: the node's certificate: it ended")
	want(t, "not yet", with(func(v *identity.Validity) { v.From = now.Add(time.Minute) }),
		"wrong id: the node's certificate: "+
			"it is not valid before")
	want(t, "CA", with(func(v *identity.Validity) { v.Of, v.Until = identity.OfCA, now }),
		"wrong id: the CA of acme.example")
	want(t, "roots", with(func(v *identity.Validity) { v.Of, v.Until = identity.OfRoots, now }),
		"wrong id: the roots of acme")
}

func TestPeers(t *testing.T) {
	up := Peer{Node: "acme.example/b", Established: true}
	down := Peer{Node: "acme.example/b", LastError: "hold timer expired"}
	want(t, "none", judgeReached(nil, true), "ok peers: there are none")
	want(t, "up", judgeReached([]reached{{peer: up, address: "b:1"}}, true), "ok acme.example/b at b:1: it is reached")
	want(t, "stopped", judgeReached([]reached{{peer: down, address: "b:1"}}, false), "ok acme.example/b at b:1")
	want(t, "down", judgeReached([]reached{{peer: down, address: "b:1"}}, true),
		"wrong acme.example/b at b:1: it is reached "+
			"and shows its certificate, and there is no session: hold timer expired")
	want(t, "TCP", judgeReached([]reached{{peer: down, address: "b:1", tcp: errors.New("connection refused")}}, true),
		"wrong acme.example/b at b:1: it takes no connection: connection refused")
	want(t, "TLS", judgeReached([]reached{{peer: down, address: "b:1", tls: errors.New("another node")}}, true),
		"wrong acme.example/b at b:1: TLS fails: another node")
	want(t, "it dials", judgeReached([]reached{{peer: up}}, true), "ok acme.example/b: its session is established")
	want(t, "it does not dial", judgeReached([]reached{{peer: down}}, true),
		"wrong acme.example/b: there is no session, and it "+
			"is to dial this node: hold timer expired")
	want(t, "it would dial", judgeReached([]reached{{peer: down}}, false), "ok acme.example/b: it dials this node")
}

func TestNames(t *testing.T) {
	n := named{server: "127.0.0.1:53", org: "acme.example", running: true}
	with := func(change func(*named)) []Finding { m := n; change(&m); return judgeNames(m) }
	want(t, "none", judgeNames(named{}), "ok dns: this node answers no names")
	want(t, "stopped", with(func(n *named) { n.running = false }), "unknown 127.0.0.1:53")
	want(t, "silent", with(func(n *named) { n.node = errors.New("timeout") }),
		"wrong 127.0.0.1:53: the node does not answer")
	want(t, "split", with(func(n *named) { n.resolvers = []asked{{server: "r", split: true}} }), "ok 127.0.0.1:53",
		"ok r: this "+
			"machine's resolver asks the node")
	want(t, "not split", with(func(n *named) { n.resolvers = []asked{{server: "r"}} }),
		"warning r: this machine's resolver "+
			"does not ask the node")
	found := func(n *named) { n.name, n.want, n.got = "db.acme.example", "127.64.0.9", []string{"127.64.0.9"} }
	want(t, "found", with(found), "ok db.acme.example: programs of this machine are given 127.64.0.9")
	want(t, "another", with(func(n *named) { found(n); n.got = []string{"192.0.2.1"} }),
		"wrong db.acme.example: programs of "+
			"this machine are given 192.0.2.1, and the node says 127.64.0.9")
	want(t, "not found", with(func(n *named) {
		found(n)
		n.lookup, n.resolvers = errors.New("no such host"),
			[]asked{{split: true}}
	}),
		"wrong db.acme.example: "+
			"programs of this machine do not find it: no such host")
	want(t, "not set up", with(func(n *named) { found(n); n.lookup = errors.New("no such host") }),
		"warning db.acme.example: "+
			"this machine's resolver does not ask the node for acme.example: no such host")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("# x\nsearch a\nnameserver 192.0.2.1\nnameserver fd00::1\nnameserver x\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(resolversOf(conf), " "); got != "192.0.2.1:53 [fd00::1]:53" {
		t.Errorf("resolvers %s", got)
	}
}

func TestJournal(t *testing.T) {
	want(t, "absent", judgeJournal(kept{path: "j", absent: true}), "ok j: there is none yet")
	want(t, "whole", judgeJournal(kept{path: "j"}), "ok j: every record is whole")
	want(t, "error", judgeJournal(kept{path: "j", err: errors.New("file is not a database")}),
		"wrong j: file is not a database")
	want(t, "damage", judgeJournal(kept{path: "j", bad: true, damage: []journal.Damage{{Kind: "peer", Key: "b",
		Why: "sum"}}}),
		"wrong j: it is damaged: peer b: sum", "wrong j.bad: a damaged journal was set aside")
}

// The journal is looked at in a copy: it, and what lies beside it, stay as they are.
func TestTheJournalIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalFile)
	want(t, "none", judgeJournal(read(t.Context(), path)), "ok "+path+": there is none yet")
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a journal was made: %v", entries)
	}
	j, err := journal.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.PutService(t.Context(), journal.Service{Name: "books.acme.example", Protocol: bgp.HTTP,
		Address: "127.0.0.1:9000"}); err != nil {
		t.Fatal(err)
	}
	want(t, "open", judgeJournal(read(t.Context(), path)), "ok "+path)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, "closed", judgeJournal(read(t.Context(), path)), "ok "+path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := []byte(strings.Replace(string(whole), "127.0.0.1:9000", "127.0.0.1:9001", 1))
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if text := said(judgeJournal(read(t.Context(), path))); !strings.Contains(text,
		"wrong "+path+": it is damaged: service "+
			"books.acme.example") {
		t.Errorf("a changed record: %s", text)
	}
	if now, _ := os.ReadFile(path); string(now) != string(broken) {
		t.Error("the journal was changed by looking at it")
	}
	if _, err := os.Stat(path + ".bad"); err == nil {
		t.Error("the journal was set aside by looking at it")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want(t, "gone", judgeJournal(read(t.Context(), path)), "wrong "+path+": it is not there, although something was "+
		"ordered")
}
