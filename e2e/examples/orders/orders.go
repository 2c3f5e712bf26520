// Package orders is an example subgraph: a shop's orders. What shipping costs it works out from what the catalogue
// knows.
package orders

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/catalyst-router/catalyst/e2e/examples/subgraph"
)

// Handler serves an order book of its own.
func Handler() http.Handler {
	return subgraph.Handler(NewExecutableSchema(Config{Resolvers: newLedger()}))
}

type ledger struct {
	placed subgraph.News[Order]

	mu     sync.Mutex
	orders []Order // guarded by mu
}

func newLedger() *ledger {
	return &ledger{orders: []Order{
		{ID: "o1", Customer: "ada", Lines: []Line{{2, Paperback{Sku: "p2"}}, {1, Disc{Sku: "d1"}}}},
		{ID: "o2", Customer: "grace", Lines: []Line{{1, Paperback{Sku: "p4"}}}},
	}}
}

func (l *ledger) Query() QueryResolver               { return query{l} }
func (l *ledger) Mutation() MutationResolver         { return mutation{l} }
func (l *ledger) Subscription() SubscriptionResolver { return subscription{l} }
func (l *ledger) Entity() EntityResolver             { return entity{l} }
func (l *ledger) Paperback() PaperbackResolver       { return paperback{l} }
func (l *ledger) Disc() DiscResolver                 { return disc{l} }

func (l *ledger) find(ok func(Order) bool) []Order {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []Order{}
	for _, o := range l.orders {
		if ok(o) {
			found = append(found, o)
		}
	}
	return found
}

func (l *ledger) order(id string) *Order {
	if found := l.find(func(o Order) bool { return o.ID == id }); len(found) > 0 {
		return &found[0]
	}
	return nil
}

func (l *ledger) sold(sku string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, o := range l.orders {
		for _, line := range o.Lines {
			if skuOf(line.Item) == sku {
				n += line.Quantity
			}
		}
	}
	return n
}

func skuOf(i Item) string {
	switch i := i.(type) {
	case Paperback:
		return i.Sku
	case Disc:
		return i.Sku
	}
	return ""
}

// shipping is a cent for each gram, and nothing from 40 on.
func shipping(price, weight int) *int {
	if price >= 4000 {
		weight = 0
	}
	return &weight
}

type query struct{ *ledger }

func (q query) Orders(_ context.Context, customer *string) ([]Order, error) {
	return q.find(func(o Order) bool { return customer == nil || o.Customer == *customer }), nil
}

func (q query) Order(_ context.Context, id string) (*Order, error) { return q.order(id), nil }

type entity struct{ *ledger }

func (e entity) FindOrderByID(_ context.Context, id string) (*Order, error) { return e.order(id), nil }

func (e entity) FindPaperbackBySku(_ context.Context, sku string) (*Paperback, error) {
	return &Paperback{Sku: sku}, nil
}

func (e entity) FindDiscBySku(_ context.Context, sku string) (*Disc, error) {
	return &Disc{Sku: sku}, nil
}

type paperback struct{ *ledger }

func (p paperback) Shipping(_ context.Context, obj *Paperback) (*int, error) {
	return shipping(obj.Price, obj.Weight), nil
}

func (p paperback) Sold(_ context.Context, obj *Paperback) (int, error) { return p.sold(obj.Sku), nil }

type disc struct{ *ledger }

func (d disc) Shipping(_ context.Context, obj *Disc) (*int, error) {
	return shipping(obj.Price, obj.Weight), nil
}

func (d disc) Sold(_ context.Context, obj *Disc) (int, error) { return d.sold(obj.Sku), nil }

type mutation struct{ *ledger }

func (m mutation) PlaceOrder(_ context.Context, customer, sku string, quantity int) (*Order, error) {
	if quantity < 1 || quantity > 100 {
		return nil, fmt.Errorf("quantity: %d: want 1 to 100", quantity)
	}
	var item Item
	switch {
	case strings.HasPrefix(sku, "p"):
		item = Paperback{Sku: sku}
	case strings.HasPrefix(sku, "d"):
		item = Disc{Sku: sku}
	default:
		return nil, fmt.Errorf("sku: %q is neither a paperback's nor a disc's", sku)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o := Order{ID: fmt.Sprintf("o%d", len(m.orders)+1), Customer: customer, Lines: []Line{{quantity, item}}}
	m.orders = append(m.orders, o)
	m.placed.Tell(o)
	return &o, nil
}

type subscription struct{ *ledger }

func (s subscription) OrderPlaced(ctx context.Context) (<-chan *Order, error) {
	return s.placed.Listen(ctx), nil
}
