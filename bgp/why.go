package bgp

// MaxWhyText is the most bytes of each text of a WhyReply.
const MaxWhyText = 240

// WhyRequest asks the peer what it tells this node of a service, and what it makes of what this node announces of it:
// with the reason where it does not (catalyst route explain --ask). It is answered by a WhyReply of the same id, by the
// peer alone: it asks nobody else.
type WhyRequest struct {
	ID      uint64
	Service Service
}

// WhyReply answers a WhyRequest. What the receiver sends of it is cut to the limits.
type WhyReply struct {
	ID      uint64
	Outcome WhyOutcome
	Told    Fate // what the answerer tells the asker of the service
	// Taken is what it makes of the paths that the asker announces of it: of the best that it takes, or of one that it
	// does not. Announced tells whether there are any.
	Taken     Fate
	Announced bool
}

// Fate says what became of a route.
type Fate struct {
	OK   bool   // it is told, or taken
	Why  string // why it is not, at most MaxWhyText bytes
	Term string // the term of the answerer's rules that decided; "" for its default or none
}

// WhyOutcome says whether a WhyRequest is answered.
type WhyOutcome uint8

// The outcomes. Their numbers are those of the wire.
const (
	WhyDeclined WhyOutcome = iota // it does not say; that is the same whether or not it knows the name
	WhyAnswered
	WhyTooOften // ask again in a few seconds
)

// Bounded returns the reply with its texts cut to their limit.
func (r *WhyReply) Bounded() WhyReply {
	b := *r
	for _, f := range []*Fate{&b.Told, &b.Taken} {
		f.Why, f.Term = cut(f.Why, MaxWhyText), cut(f.Term, MaxWhyText)
	}
	return b
}

func (*WhyRequest) message() {}
func (*WhyReply) message()   {}
