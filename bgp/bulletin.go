package bgp

// MaxBulletin is the most bytes of a bulletin.
const MaxBulletin = 64 << 10

// Bulletin is what the nodes of one organisation tell each other beside routes. Whoever it is for reads the body and
// judges it; peering only carries it, between nodes of one organisation, and drops it if a peer reads too slowly. So
// it has to be something that is said again.
type Bulletin struct {
	Body []byte // at most MaxBulletin bytes
}

func (*Bulletin) message() {}
