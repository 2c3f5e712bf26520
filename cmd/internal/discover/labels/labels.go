// Package labels reads the order of a service from the labels of a container, or the annotations of an object of
// Kubernetes. The keys are the flags of catalyst route add:
//
//	labels.Read(map[string]string{"catalyst.service": "books", "catalyst.health": "/healthz"}, "catalyst.")
package labels

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/nearest"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Order is what labels say. The addresses of Service are its reader's to add.
type Order struct {
	Service operator.ServiceInput
	// Port is that of the workload; 0 where the labels do not say it.
	Port uint16
	// Network is by which network it is reached, and Published whether by the port that its machine publishes.
	Network   string
	Published bool
}

// key is one label.
type key struct {
	name string
	take func(o *Order, value string) error
}

// text is a key whose value is taken as it is: the order is checked as a whole later.
func text(name string, field func(o *Order) *string) key {
	return key{name, func(o *Order, v string) error { *field(o) = v; return nil }}
}

func list(name string, field func(o *Order) *[]string) key {
	return key{name, func(o *Order, v string) error {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*field(o) = append(*field(o), part)
			}
		}
		return nil
	}}
}

func number(name string, field func(o *Order) *int) key {
	return key{name, func(o *Order, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%q: want a whole number", v)
		}
		*field(o) = n
		return nil
	}}
}

func yes(name string, field func(o *Order) *bool) key {
	return key{name, func(o *Order, v string) error {
		if v != "true" && v != "false" {
			return fmt.Errorf("%q: want true or false", v)
		}
		*field(o) = v == "true"
		return nil
	}}
}

func port(name string, take func(o *Order, n uint16)) key {
	return key{name, func(o *Order, v string) error {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q: want a port of 1 to 65535", v)
		}
		take(o, uint16(n))
		return nil
	}}
}

// keys are all labels, in the order in which they are read.
func keys() []key {
	return slices.Concat(workload(), checked(), []key{
		text("protocol", func(o *Order) *string { return &o.Service.Protocol }),
		text("region", func(o *Order) *string { return &o.Service.Region }),
		list("tags", func(o *Order) *[]string { return &o.Service.Tags }),
		list("communities", func(o *Order) *[]string { return &o.Service.Communities }),
		number("weight", func(o *Order) *int { return &o.Service.Weight }),
		number("med", func(o *Order) *int { return &o.Service.Med }),
		yes("yields", func(o *Order) *bool { return &o.Service.Yields }),
		port("local-port", func(o *Order, n uint16) { o.Service.Port = int(n) }),
		port("service-port", func(o *Order, n uint16) { o.Service.Tags = append(o.Service.Tags, bgp.ServicePortTag(n)) }),
		{"graphql-path", func(o *Order, v string) error {
			if !strings.HasPrefix(v, "/") {
				return fmt.Errorf("%q: want a path that begins with /", v)
			}
			o.Service.Tags = append(o.Service.Tags, "graphql-path="+v)
			return nil
		}},
		text("idle-timeout", func(o *Order) *string { return &o.Service.IdleTimeout }),
		yes("tls", func(o *Order) *bool { return &o.Service.TLS }),
		text("tls-ca", func(o *Order) *string { return &o.Service.TLSCa }),
		text("tls-name", func(o *Order) *string { return &o.Service.TLSName }),
		text("tls-id", func(o *Order) *string { return &o.Service.TLSID }),
		yes("tls-insecure", func(o *Order) *bool { return &o.Service.TLSInsecure }),
	})
}

// workload are the labels that say where it is.
func workload() []key {
	return []key{
		text("service", func(o *Order) *string { return &o.Service.Service }),
		port("port", func(o *Order, n uint16) { o.Port = n }),
		text("network", func(o *Order) *string { return &o.Network }),
		{"address", func(o *Order, v string) error {
			if v != "container" && v != "published" {
				return fmt.Errorf("%q: want container or published", v)
			}
			o.Published = v == "published"
			return nil
		}},
	}
}

// checked are the labels that say how its health is known.
func checked() []key {
	return []key{
		text("health", func(o *Order) *string { return &o.Service.HealthPath }),
		text("health-interval", func(o *Order) *string { return &o.Service.HealthInterval }),
		text("health-timeout", func(o *Order) *string { return &o.Service.HealthTimeout }),
		number("health-rise", func(o *Order) *int { return &o.Service.HealthRise }),
		number("health-fall", func(o *Order) *int { return &o.Service.HealthFall }),
		text("when-down", func(o *Order) *string { return &o.Service.WhenDown }),
	}
}

// Read reads the labels that begin with prefix. One that does not exist is an error that names it and what is nearest.
func Read(all map[string]string, prefix string) (Order, error) {
	var o Order
	known := keys()
	for _, label := range slices.Sorted(maps.Keys(all)) {
		name, ours := strings.CutPrefix(label, prefix)
		if !ours {
			continue
		}
		i := slices.IndexFunc(known, func(k key) bool { return k.name == name })
		if i < 0 {
			return o, fmt.Errorf("%s: there is no such label%s", label,
				nearest.Hint(name, 3, prefix, names(known)))
		}
		if err := known[i].take(&o, all[label]); err != nil {
			return o, fmt.Errorf("%s: %w", label, err)
		}
	}
	if o.Service.Service == "" {
		return o, fmt.Errorf("%sservice: want the name of the service", prefix)
	}
	return o, nil
}

func names(known []key) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, k := range known {
			if !yield(k.name) {
				return
			}
		}
	}
}
