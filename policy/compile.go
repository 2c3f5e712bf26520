package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema
var schemaText string //nolint:gochecknoglobals // embed sets variables only

//go:embed defaults.cedar
var defaultsText string //nolint:gochecknoglobals // embed sets variables only

//go:embed open.cedar
var openText string //nolint:gochecknoglobals // embed sets variables only

//go:embed routes.cedar
var routesText string //nolint:gochecknoglobals // embed sets variables only

// Schema returns the Cedar schema of the namespace CATALYST.
func Schema() string { return schemaText }

// Defaults returns the policies that are always in force.
func Defaults() Document { return Document{"defaults.cedar", defaultsText} }

// Open returns the policies that are in force for the data plane until an operator applies some.
func Open() Document { return Document{"open.cedar", openText} }

// Snapshot is a set of policies and entities, validated and indexed. It never changes and may be used by any number
// of goroutines.
type Snapshot struct {
	hash     string
	index    index
	policies map[types.PolicyID]*entry
	ids      []types.PolicyID // sorted
	entities types.EntityMap
	above    map[types.EntityUID][]types.EntityUID // every ancestor of an entity
	shapes   *validate.Validator
	texts    map[types.PolicyID]string
	uses     uses // of calls
	source   Source
	routes   routes
}

// Hash names the snapshot: the same policies and entities have the same.
func (s *Snapshot) Hash() string { return s.hash }

// Level is how much of the vocabulary of calls this version knows. It grows with every attribute that the schema gets:
// 2 is policyAge, 3 are decisions on routes.
const Level = 3

// Level is how much of the vocabulary a node has to know to read the set.
func (s *Snapshot) Level() int {
	switch {
	case s.routes.judged:
		return 3
	case s.uses.names["policyAge"]:
		return 2
	}
	return 1
}

// Policies returns the ids of all policies, sorted.
func (s *Snapshot) Policies() []string {
	ids := make([]string, len(s.ids))
	for i, id := range s.ids {
		ids[i] = string(id)
	}
	return ids
}

// Text returns a policy as it was written; "" if there is none of this id.
func (s *Snapshot) Text(id string) string { return s.texts[types.PolicyID(id)] }

// Entities returns how many entities the set has, those of the schema left out.
func (s *Snapshot) Entities() int { return len(s.entities) - len(s.index.actions) }

// compiler puts a snapshot together and collects what is wrong.
type compiler struct {
	snap     *Snapshot
	schema   *resolved.Schema
	problems Problems
}

// Compile parses and validates a source, with the default policies before it. A source with any problem makes no
// snapshot, and the error is of type Problems. A source without policies leaves the data plane open (see Open).
func Compile(src Source) (*Snapshot, error) {
	var text schema.Schema
	if err := text.UnmarshalCedar([]byte(schemaText)); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	rs, err := text.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve the schema: %w", err)
	}
	c := &compiler{schema: rs, snap: &Snapshot{
		policies: map[types.PolicyID]*entry{}, entities: types.EntityMap{}, above: map[types.EntityUID][]types.EntityUID{},
		shapes: validate.New(rs), texts: map[types.PolicyID]string{}}}
	c.actions()
	c.entities(src.Entities)
	documents := append([]Document{Defaults()}, src.Policies...)
	if len(src.Policies) == 0 {
		documents = append(documents, Open())
	}
	for _, doc := range documents {
		c.document(doc)
	}
	open := !c.snap.permitsRoutes()
	if open {
		c.document(Document{"routes.cedar", routesText})
	}
	c.total()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	c.snap.ids = slices.Sorted(maps.Keys(c.snap.policies))
	c.snap.hash = hashOf(documents, src.Entities)
	c.snap.source = src
	c.snap.findRoutes(open)
	return c.snap, nil
}

func (c *compiler) bad(p Problem) { c.problems = append(c.problems, p) }

// hashOf is over all texts with their lengths.
func hashOf(groups ...[]Document) string {
	h := sha256.New()
	for _, documents := range groups {
		_ = json.NewEncoder(h).Encode(documents) // strings are always encoded, and a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (c *compiler) actions() {
	c.snap.index = newIndex()
	for _, uid := range slices.SortedFunc(maps.Keys(c.schema.Actions),
		func(a, b types.EntityUID) int { return strings.Compare(a.String(), b.String()) }) {
		a := c.schema.Actions[uid]
		c.snap.entities[uid] = a.Entity
		c.snap.index.actions[uid] = len(c.snap.index.actions)
	}
}

// entities reads the operator's entities, and computes whom each is in.
func (c *compiler) entities(documents []Document) {
	for _, doc := range documents {
		if p := tooLarge(doc, false); p != nil {
			c.bad(*p)
			continue
		}
		list, err := readEntities(doc.Text)
		if err != nil {
			c.bad(Problem{Document: doc.Name, Text: "it is no list of entities in Cedar's JSON: " + err.Error()})
			continue
		}
		if len(list)+len(c.snap.entities) > MaxEntities {
			c.bad(Problem{Document: doc.Name, Text: fmt.Sprintf("more than %d entities", MaxEntities)})
			continue
		}
		for _, e := range list {
			c.entity(doc, e)
		}
	}
	for uid := range c.snap.entities {
		above, ok := ancestors(c.snap.entities, uid)
		if !ok {
			c.bad(Problem{Document: "entities", Text: fmt.Sprintf("%s is in more than %d others", uid, maxAncestors)})
		}
		c.snap.above[uid] = above
	}
}

// readEntities reads a list in Cedar's JSON; attrs and parents may be left out.
func readEntities(text string) ([]types.Entity, error) {
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, err
	}
	for _, e := range raw {
		for name, none := range map[string]string{"attrs": "{}", "parents": "[]"} {
			if e[name] == nil {
				e[name] = json.RawMessage(none)
			}
		}
	}
	whole, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	var list []types.Entity
	return list, json.Unmarshal(whole, &list)
}

func (c *compiler) entity(doc Document, e types.Entity) {
	if _, twice := c.snap.entities[e.UID]; twice {
		c.bad(Problem{Document: doc.Name, Text: fmt.Sprintf("%s is given twice, or is an action", e.UID)})
		return
	}
	if e.Attributes.Len() == 0 {
		e.Attributes = usual(e.UID)
	}
	if err := c.snap.shapes.Entity(e); err != nil {
		c.bad(Problem{Document: doc.Name, Text: fmt.Sprintf("%s: %v", e.UID, err)})
		return
	}
	c.snap.entities[e.UID] = e
}

// usual are the attributes of an entity that was given none: the operator wants to say in which groups it is, and
// what its tags are.
func usual(uid types.EntityUID) types.Record {
	id := string(uid.ID)
	switch strings.TrimPrefix(string(uid.Type), namespace) {
	case "ADMIN", "NODE", "NODE_CUSTODIAN", "DATA_CUSTODIAN", "USER":
		return attributes(id, id, "", nil, nil)
	case "Service":
		_, organisation, _ := strings.Cut(id, ".")
		return types.NewRecord(types.RecordMap{"name": uid.ID, "organisation": types.String(organisation)})
	case "IBGP", "Peer", "Route", "Token", "AdminPanel", "Gateway":
		return types.NewRecord(types.RecordMap{"nodeId": types.String(""), "domainId": types.String("")})
	}
	return types.Record{}
}

const maxAncestors = 256

// ancestors returns every entity that uid is in, itself left out; false if they are too many.
func ancestors(entities types.EntityGetter, uid types.EntityUID) ([]types.EntityUID, bool) {
	var all []types.EntityUID
	seen := map[types.EntityUID]bool{uid: true}
	for queue := []types.EntityUID{uid}; len(queue) > 0; queue = queue[1:] {
		e, _ := entities.Get(queue[0])
		for parent := range e.Parents.All() {
			if seen[parent] {
				continue
			}
			if len(all) == maxAncestors {
				return all, false
			}
			seen[parent] = true
			all, queue = append(all, parent), append(queue, parent)
		}
	}
	slices.SortFunc(all, func(a, b types.EntityUID) int { return strings.Compare(a.String(), b.String()) })
	return all, true
}

// document parses, validates and indexes the policies of a document.
func (c *compiler) document(doc Document) {
	if p := tooLarge(doc, true); p != nil {
		c.bad(*p)
		return
	}
	list, err := cedar.NewPolicyListFromBytes(doc.Name, []byte(doc.Text))
	if err != nil {
		c.bad(parseProblem(doc, err))
		return
	}
	if len(list) == 0 && strings.TrimSpace(doc.Text) != "" && !strings.HasPrefix(strings.TrimSpace(doc.Text), "//") {
		c.bad(Problem{Document: doc.Name, Text: "there is no policy in it"})
	}
	for i, p := range list {
		pos := p.Position()
		end := len(doc.Text)
		if i+1 < len(list) {
			end = list[i+1].Position().Offset
		}
		id, given := p.Annotations()["id"]
		if !given {
			id = types.String(fmt.Sprintf("%s#%d", doc.Name, i+1))
		}
		text := doc.Text[pos.Offset:end]
		if semicolon := strings.LastIndexByte(text, ';'); semicolon >= 0 {
			text = text[:semicolon+1]
		}
		c.policy(Problem{Document: doc.Name, Line: pos.Line, Column: pos.Column, Policy: string(id)}, p, text)
	}
}

// parseProblem takes the position out of cedar-go's words.
func parseProblem(doc Document, err error) Problem {
	p := Problem{Document: doc.Name, Text: err.Error()}
	text := strings.TrimPrefix(p.Text, "parser error: ")
	var line, column int
	for _, format := range []string{"parse error at " + doc.Name + ":%d:%d", "parse error at <input>:%d:%d",
		doc.Name + ":%d:%d"} {
		if n, _ := fmt.Sscanf(text, format, &line, &column); n == 2 {
			p.Line, p.Column = line, column
			if _, rest, ok := strings.Cut(text, fmt.Sprintf(":%d:%d", line, column)); ok {
				p.Text = strings.TrimLeft(rest, " \":")
			}
			break
		}
	}
	return p
}

func (c *compiler) policy(at Problem, p *cedar.Policy, text string) {
	bad := func(format string, args ...any) {
		at.Text = fmt.Sprintf(format, args...)
		c.bad(at)
	}
	id := types.PolicyID(at.Policy)
	if len(at.Policy) == 0 || len(at.Policy) > 200 ||
		strings.ContainsFunc(at.Policy, func(r rune) bool { return r < ' ' }) {
		bad("@id must be of 1 to 200 printable characters")
		return
	}
	if _, twice := c.snap.policies[id]; twice {
		bad("another policy has the same @id")
		return
	}
	tree := (*ast.Policy)(p.AST())
	if err := c.snap.shapes.Policy(at.Policy, tree); err != nil {
		bad("%s", brief(err))
		return
	}
	if why := c.never(tree); why != "" {
		bad("%s", why)
		return
	}
	e := &entry{id: id, policy: p, tree: tree}
	c.snap.policies[id] = e
	c.snap.texts[id] = text
	c.snap.index.add(e, c.snap)
	if e.actions&c.snap.index.ofCalls() != 0 {
		c.snap.uses.add(tree)
	}
}

// brief is what the validator says, which repeats itself for every action.
func brief(err error) string {
	const most = 3
	words := strings.Split(strings.ReplaceAll(err.Error(), "\n", "; "), "; ")
	slices.Sort(words)
	if len(words) > most {
		words = append(words[:most], fmt.Sprintf("and %d more", len(words)-most))
	}
	return strings.Join(words, "; ")
}

// never finds what makes a policy useless, which the validator does not: a condition that no request meets, a group
// that there is not.
func (c *compiler) never(p *ast.Policy) string {
	for _, cond := range p.Conditions {
		constant := true
		unknown := ""
		ast.Inspect(ast.NewNode(cond.Body), func(n ast.IsNode) bool {
			switch v := n.(type) {
			case ast.NodeTypeVariable:
				constant = false
			case ast.NodeValue:
				unknown += c.unknownGroup(v.Value)
			}
			return true
		})
		if unknown != "" {
			return unknown
		}
		if !constant {
			continue
		}
		v, err := eval.Eval(cond.Body, eval.Env{Entities: c.snap.entities})
		if err != nil {
			return "its condition cannot be evaluated: " + err.Error()
		}
		if holds, ok := v.(types.Boolean); ok && bool(holds) != bool(cond.Condition) {
			return "its condition is never met, so that it never applies"
		}
	}
	for _, scope := range []ast.IsScopeNode{p.Principal, p.Resource} {
		for _, uid := range named(scope) {
			if why := c.unknownGroup(uid); why != "" {
				return why
			}
		}
	}
	return ""
}

// unknownGroup tells of a group that no entity document has: nobody is in it, and `unless { principal in … }` would
// always hold.
func (c *compiler) unknownGroup(v types.Value) string {
	uid, ok := v.(types.EntityUID)
	if !ok || uid.Type != typeGroup {
		return ""
	}
	if _, known := c.snap.entities[uid]; known {
		return ""
	}
	return fmt.Sprintf("there is no %s among the entities: nobody is in it", uid)
}

// total checks the set as a whole.
func (c *compiler) total() {
	n := len(c.snap.policies)
	if n > MaxTotal {
		c.bad(Problem{Document: "policies", Text: fmt.Sprintf("%d policies: want at most %d", n, MaxTotal)})
	}
	if worst := c.snap.index.worst(); worst > maxBucket {
		c.bad(Problem{Document: "policies", Text: fmt.Sprintf(
			"%d policies have the same principal and resource in their scope, or none: each of them costs every request; "+
				"want at most %d, name entities or groups in the scopes", worst, maxBucket)})
	}
}

// ErrNoSnapshot tells that nothing was published yet; then everything is denied.
var ErrNoSnapshot = errors.New("no policies are in force yet") //nolint:gochecknoglobals // a sentinel
