// Package doctor examines the machine of a node: files and their modes, the clock, ports, limits, Envoy, certificates,
// peers, DNS, the journal and the disk. It works while the node runs and while it does not, and changes nothing.
//
//	for _, f := range doctor.Examine(ctx, doctor.Config{Node: cfg, Running: answers}) {
//		fmt.Println(f.State, f.Where, f.What, f.Advice)
//	}
//
// Each check has two halves: one that looks (at files, sockets, /proc) and one that judges what was seen, which is a
// function of values.
package doctor

import (
	"context"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

// State is how it stands with what was looked at.
type State string

// The states of a finding.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, and will not for ever, or not under load
	Wrong   State = "wrong"   // something does not work
	Unknown State = "unknown" // it could not be found out
)

// The checks, in the order of their findings.
const (
	checkFiles        = "files"
	checkClock        = "clock"
	checkPorts        = "ports"
	checkLimits       = "limits"
	checkEnvoy        = "envoy"
	checkCertificates = "certificates"
	checkPeers        = "peers"
	checkNames        = "dns"
	checkJournal      = "journal"
	checkDisk         = "disk"
	checkNode         = "node"
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  string `json:"check"` // "files", "clock" …
	State  State  `json:"state"`
	Where  string `json:"where"`            // a file, an address, a peer
	What   string `json:"what"`             // what was found
	Advice string `json:"advice,omitempty"` // what to do; "" if nothing has to be done
}

// Config is what Examine has to know.
type Config struct {
	Node *config.Config // required
	// Vault is the node's identity and how its secrets are sealed; required.
	Vault disk.Vault
	File  string // of the configuration; "" for none
	// Running is what the node answered; nil if none runs.
	Running *Running
}

// Running is a node that answers at its socket.
type Running struct {
	PID      int // of the node; 0 if it is not known
	EnvoyPID int // 0 for none
	Missing  []string
	Warnings []string
	Peers    []Peer
	Name     string // one that is answered over DNS now; "" for none
	Address  string // what it is answered with
}

// Peer is a configured neighbour.
type Peer struct {
	Node        string // its id, ORGANISATION/NAME
	Addresses   []string
	Ingress     string // HOST:PORT of its mesh ingress; "" if it is not known
	Established bool
	LastError   string // why the session is down; "" if it is not known
	Disabled    bool
}

// AnyWrong tells whether something does not work.
func AnyWrong(all []Finding) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.State == Wrong })
}

// patience bounds each question that goes over the network.
const patience = 3 * time.Second

// Examine looks at everything. It asks peers and the identity service, each for at most three seconds.
func Examine(ctx context.Context, cfg Config) []Finding {
	e := &examination{cfg: cfg, now: time.Now}
	all := judgeNode(cfg.Running)
	all = append(all, judgeFiles(e.files(), e.owner())...)
	id, err := identity.OpenVault(cfg.Vault)
	if err != nil {
		all = append(all, Finding{checkCertificates, Wrong, cfg.Node.Identity, err.Error(),
			"join with catalyst node --join, put back a backup (catalyst restore), or issue a bundle with catalyst org " +
				"issue-node"})
	} else {
		all = append(all, judgeValidities(cfg.Node.Identity, id.Validities(), e.now())...)
	}
	peers, journal := e.journal(ctx)
	all = append(all, judgePorts(e.ports(ctx), cfg.Running)...)
	all = append(all, judgeLimits(e.limits())...)
	all = append(all, judgeEnvoy(e.envoy(ctx))...)
	if id != nil {
		all = append(all, judgeReached(e.reach(ctx, id, peers), cfg.Running != nil)...)
		all = append(all, judgeClock(e.clocks(ctx, id, peers), id.Material().Issued, e.now(), unsynchronised())...)
	}
	all = append(all, judgeNames(e.names(ctx, id))...)
	all = append(all, journal...)
	return append(all, judgeDisks(e.disks())...)
}

// examination is one run of Examine.
type examination struct {
	cfg Config
	now func() time.Time
}

// judgeNode says whether a node runs, and what it says of itself.
func judgeNode(r *Running) []Finding {
	if r == nil {
		return []Finding{{checkNode, OK, "this machine", "no node answers: what follows is of its files and the machine", ""}}
	}
	var all []Finding
	for _, m := range r.Missing {
		all = append(all, Finding{checkNode, Wrong, "the node", "it does not serve: " + m,
			"see the finding below that this " +
				"comes from, or the node's log"})
	}
	for _, w := range r.Warnings {
		all = append(all, Finding{checkNode, Warning, "the node", w, ""})
	}
	if len(all) == 0 {
		all = append(all, Finding{checkNode, OK, "the node", "it runs and serves", ""})
	}
	return all
}
