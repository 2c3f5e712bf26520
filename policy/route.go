package policy

import (
	"errors"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Actions on routes.
const (
	RouteImport = "ROUTE_IMPORT" // a peer announces it
	RouteExport = "ROUTE_EXPORT" // it would be told to a peer
)

// Announcement is a route of a service that a peer announces, or that it would be told.
type Announcement struct {
	Peer         string    `json:"peer"`    // SPIFFE id of the peer
	Service      string    `json:"service"` // full name
	Organisation string    `json:"organisation"`
	Export       bool      `json:"export,omitempty"`
	Origin       string    `json:"origin"`     // ORGANISATION/NODE that offers it
	PathLength   int       `json:"pathLength"` // nodes on its path
	Tags         []string  `json:"tags,omitempty"`
	Communities  []string  `json:"communities,omitempty"`
	Time         time.Time `json:"time"`
}

// Request is the announcement as a question.
func (a Announcement) Request() Request {
	peer, err := peerOf(a.Peer)
	if err == nil {
		err = errors.Join(plain("peer", a.Peer), plain("service", a.Service), plain("organisation", a.Organisation))
	}
	if err != nil {
		return Request{err: err}
	}
	action := RouteImport
	if a.Export {
		action = RouteExport
	}
	principal := types.Entity{
		UID: types.NewEntityUID(typeNode, types.String(peer.id)), Parents: in(peer.organisation),
		Attributes: attributes(peer.id, peer.name, "node", nil, nil),
	}
	service := types.Entity{
		UID: types.NewEntityUID(typeService, types.String(a.Service)), Parents: in(a.Organisation),
		Attributes: types.NewRecord(types.RecordMap{"name": types.String(a.Service),
			"organisation": types.String(a.Organisation)}),
	}
	return Request{
		entities: []types.Entity{principal, service},
		cedar: types.Request{Principal: principal.UID, Action: actionUID(action), Resource: service.UID,
			Context: types.NewRecord(types.RecordMap{
				"now": types.NewDatetime(a.Time), "origin": types.String(a.Origin), "pathLength": types.Long(a.PathLength),
				"tags": setOf(a.Tags), "communities": setOf(a.Communities),
			})},
	}
}

// routes is what the policies of a set have to do with routes.
type routes struct {
	judged  bool // one of them could refuse a route
	context bool // and looks at more than who is the peer and which the service
}

// Source is what the snapshot was made of.
func (s *Snapshot) Source() Source { return s.source }

// JudgesRoutes tells whether a policy could refuse a route: otherwise nobody needs to ask.
func (s *Snapshot) JudgesRoutes() bool { return s.routes.judged }

// RoutesByName tells whether all routes of a service that a peer announces, or that it would be told, are decided
// alike.
func (s *Snapshot) RoutesByName() bool { return !s.routes.context }

// ofRoutes is the set of the actions on routes.
func (x *index) ofRoutes() uint64 {
	return 1<<x.actions[actionUID(RouteImport)] | 1<<x.actions[actionUID(RouteExport)]
}

// permitsRoutes tells whether a policy permits routes by the name of an action: then nothing else passes.
func (s *Snapshot) permitsRoutes() bool {
	for _, e := range s.policies {
		if _, all := e.tree.Action.(ast.ScopeTypeAll); !all && e.policy.Effect() == cedar.Permit &&
			e.actions&s.index.ofRoutes() != 0 {
			return true
		}
	}
	return false
}

// findRoutes finds what the policies have to do with routes; open says that every route may pass unless it is
// forbidden.
func (s *Snapshot) findRoutes(open bool) {
	s.routes.judged = !open
	for _, e := range s.policies {
		if e.actions&s.index.ofRoutes() == 0 {
			continue
		}
		s.routes.judged = s.routes.judged || e.policy.Effect() == cedar.Forbid
		for _, c := range e.tree.Conditions {
			ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
				v, ok := n.(ast.NodeTypeVariable)
				s.routes.context = s.routes.context || ok && v.Name == "context"
				return true
			})
		}
	}
}
