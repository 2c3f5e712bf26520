package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go/types"
)

// Types of the schema.
const (
	namespace        = "CATALYST::"
	typeGroup        = types.EntityType(namespace + "Group")
	typeOrganisation = types.EntityType(namespace + "Organisation")
	typeNode         = types.EntityType(namespace + "NODE")
	typeWorkload     = types.EntityType(namespace + "Workload")
	typeService      = types.EntityType(namespace + "Service")
	typeHeaders      = types.EntityType(namespace + "Headers")
	typeClaims       = types.EntityType(namespace + "Claims")
	typeAction       = types.EntityType(namespace + "Action")
)

// Actions of the data plane.
const (
	Connect = "CONNECT"
	Ask     = "REQUEST"
)

// Bearer is whom a verified token names.
type Bearer struct {
	Principal      string            `json:"principal"` // ADMIN, NODE, NODE_CUSTODIAN, DATA_CUSTODIAN or USER
	Subject        string            `json:"subject"`
	Name           string            `json:"name,omitempty"`
	Kind           string            `json:"kind,omitempty"`         // user, service, …
	Organisation   string            `json:"organisation,omitempty"` // whose token it is
	TrustedDomains []string          `json:"trustedDomains,omitempty"`
	TrustedNodes   []string          `json:"trustedNodes,omitempty"`
	Claims         map[string]string `json:"claims,omitempty"` // those in text
	Until          time.Time         `json:"-"`                // when the token expires; zero if it is not known
}

// Call is a request or a connection that asks to be let through.
type Call struct {
	// SPIFFE id of the calling node, from its certificate; "" for a caller beside this node
	Peer         string            `json:"peer,omitempty"`
	Certificate  string            `json:"certificate,omitempty"` // SHA-256 of that certificate in hexadecimal
	Bearer       *Bearer           `json:"bearer,omitempty"`      // nil without a token
	Service      string            `json:"service"`               // full name
	Organisation string            `json:"organisation"`          // that the service belongs to
	Connect      bool              `json:"connect,omitempty"`     // a connection of a TCP service
	Method       string            `json:"method,omitempty"`
	Path         string            `json:"path,omitempty"` // without the query
	Host         string            `json:"host,omitempty"`
	SNI          string            `json:"sni,omitempty"`
	Port         int               `json:"port,omitempty"`
	Headers      map[string]string `json:"headers,omitempty"` // those that the operator named, in lower case
	Time         time.Time         `json:"time"`
	PolicyAge    int               `json:"policyAge,omitempty"` // seconds since the organisation's set was confirmed
}

// Request is the call as a question. One that cannot be asked is denied, with an error that says why.
func (c Call) Request() Request {
	r := Request{call: c, isCall: true}
	r.peer, r.err = peerOf(c.Peer)
	if r.err == nil {
		r.err = errors.Join(plain("service", c.Service), plain("organisation", c.Organisation))
	}
	return r
}

// asked puts the question together for cedar-go, with the attributes that are used.
func (r *Request) asked(u uses) (types.Request, []types.Entity) {
	if !r.isCall {
		return r.cedar, r.entities
	}
	c := &r.call
	action := Ask
	if c.Connect {
		action = Connect
	}
	service := types.Entity{UID: types.NewEntityUID(typeService, types.String(c.Service)), Parents: in(c.Organisation)}
	if u.service() {
		service.Attributes = types.NewRecord(types.RecordMap{"name": types.String(c.Service),
			"organisation": types.String(c.Organisation)})
	}
	principal := c.principal(r.peer, u)
	q := types.Request{Principal: principal.UID, Action: actionUID(action), Resource: service.UID}
	entities := make([]types.Entity, 2, 4)
	entities[0], entities[1] = principal, service
	q.Context, entities = c.context(r.peer, u, entities)
	return q, entities
}

// node is a peer's SPIFFE id, taken apart.
type node struct{ id, organisation, name string }

func peerOf(id string) (node, error) {
	if id == "" {
		return node{}, nil
	}
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "spiffe" || u.Host == "" || plain("peer", id) != nil {
		return node{}, fmt.Errorf("the caller's certificate has %q, which is no SPIFFE id", id)
	}
	return node{id, u.Host, u.Path[strings.LastIndexByte(u.Path, '/')+1:]}, nil
}

// plain refuses what could be taken for another entity, or for none.
func plain(what, s string) error {
	if s == "" || len(s) > 2048 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the %s %.100q: want 1 to 2048 printable characters", what, s)
	}
	return nil
}

func actionUID(name string) types.EntityUID {
	return types.NewEntityUID(typeAction, types.String(name))
}

func in(organisation string) types.EntityUIDSet {
	if organisation == "" {
		return types.EntityUIDSet{}
	}
	return types.NewEntityUIDSet(types.NewEntityUID(typeOrganisation, types.String(organisation)))
}

// principal is the bearer of a token if there is one, else the calling node, else a workload beside this one.
func (c *Call) principal(peer node, u uses) types.Entity {
	if c.Bearer != nil {
		return c.Bearer.entity(u)
	}
	if peer.id == "" {
		return types.Entity{UID: types.NewEntityUID(typeWorkload, "local")}
	}
	e := types.Entity{UID: types.NewEntityUID(typeNode, types.String(peer.id)), Parents: in(peer.organisation)}
	if u.principal() {
		e.Attributes = attributes(peer.id, peer.name, "node", nil, nil)
	}
	return e
}

// entity is the bearer as a principal.
func (b *Bearer) entity(u uses) types.Entity {
	e := types.Entity{
		UID:     types.NewEntityUID(types.EntityType(namespace+b.Principal), types.String(b.Subject)),
		Parents: in(b.Organisation),
	}
	if u.principal() {
		e.Attributes = attributes(b.Subject, cmp.Or(b.Name, b.Subject), b.Kind, b.TrustedNodes, b.TrustedDomains)
	}
	return e
}

func attributes(id, name, kind string, nodes, domains []string) types.Record {
	return types.NewRecord(types.RecordMap{"id": types.String(id), "name": types.String(name), "type": types.String(kind),
		"trustedNodes": setOf(nodes), "trustedDomains": setOf(domains)})
}

func setOf(all []string) types.Set {
	values := make([]types.Value, len(all))
	for i, s := range all {
		values[i] = types.String(s)
	}
	return types.NewSet(values...)
}

// tagged is an entity of the request alone, with strings by name.
func tagged(t types.EntityType, values map[string]string, entities []types.Entity) (types.EntityUID, []types.Entity) {
	uid := types.NewEntityUID(t, "request")
	if len(values) == 0 {
		return uid, entities
	}
	tags := make(types.RecordMap, len(values))
	for k, v := range values {
		tags[types.String(k)] = types.String(v)
	}
	return uid, append(entities, types.Entity{UID: uid, Tags: types.NewRecord(tags)})
}

// context has what is used of the facts of a call; the entities of its headers and claims are appended.
func (c *Call) context(peer node, u uses, entities []types.Entity) (types.Record, []types.Entity) {
	at := c.Time.UTC()
	headers, tokens := types.NewEntityUID(typeHeaders, "request"), types.NewEntityUID(typeClaims, "request")
	if c.Bearer != nil && u.any("claims") {
		tokens, entities = tagged(typeClaims, c.Bearer.Claims, entities)
	}
	if !c.Connect && u.any("headers") {
		headers, entities = tagged(typeHeaders, c.Headers, entities)
	}
	var few [8]member
	members := few[:0]
	add := func(name string, value types.Value) {
		if u.any(name) {
			members = append(members, member{name, value})
		}
	}
	add("now", types.NewDatetime(at))
	add("hour", types.Long(at.Hour()))
	add("weekday", types.Long(at.Weekday()))
	add("port", types.Long(c.Port))
	add("policyAge", types.Long(c.PolicyAge))
	add("authenticated", types.Boolean(c.Bearer != nil))
	add("claims", tokens)
	if u.any("peer") {
		add("peer", types.NewRecord(types.RecordMap{"organisation": types.String(peer.organisation),
			"node": types.String(peer.id)}))
	}
	if u.any("tls") {
		add("tls", types.NewRecord(types.RecordMap{"sni": types.String(c.SNI), "certificate": types.String(c.Certificate)}))
	}
	if !c.Connect {
		add("method", types.String(c.Method))
		add("path", types.String(c.Path))
		add("host", types.String(c.Host))
		add("headers", headers)
	}
	return record(members), entities
}

// Order is an operator's or a node's wish at the operator API.
type Order struct {
	Bearer Bearer `json:"bearer"`
	Action string `json:"action"` // PEER_CREATE, …
	Kind   string `json:"kind"`   // of the resource: IBGP, Peer, Route, Token, AdminPanel or Gateway
	ID     string `json:"id"`     // of the resource
	Node   string `json:"node"`   // that it is about
	Domain string `json:"domain"` // of that node
}

// Request is the order as a question.
func (o Order) Request() Request {
	err := errors.Join(plain("subject", o.Bearer.Subject), plain("principal", o.Bearer.Principal),
		plain("action", o.Action), plain("resource", o.Kind+o.ID))
	if err != nil {
		return Request{err: err}
	}
	principal := o.Bearer.entity(everything())
	resource := types.Entity{
		UID:        types.NewEntityUID(types.EntityType(namespace+o.Kind), types.String(o.ID)),
		Parents:    in(o.Domain),
		Attributes: types.NewRecord(types.RecordMap{"nodeId": types.String(o.Node), "domainId": types.String(o.Domain)}),
	}
	return Request{
		entities: []types.Entity{principal, resource},
		cedar:    types.Request{Principal: principal.UID, Action: actionUID(o.Action), Resource: resource.UID},
	}
}
