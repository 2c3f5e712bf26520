package imported

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

// write writes changes. problems are services that the cluster cannot have; failed tells that something is to be tried
// again soon, such as an object that somebody else has changed meanwhile.
func (r *Room) write(ctx context.Context, c *Changes) (problems []discover.Problem, failed bool) {
	refused := map[string]bool{} // Services without which an EndpointSlice is of no use
	do := func(change, name string, err error) {
		switch {
		case err == nil:
			r.wrote(ctx, change)
		case ctx.Err() == nil:
			failed = true
			r.cfg.Log.Debug("an object of the cluster is not written: it is tried again", "name", name, "change", change,
				"error", err)
		}
	}
	for _, s := range c.NewServices {
		if why := r.create(ctx, cluster.Services(), s, &cluster.Service{}, do); why != "" {
			refused[s.Name] = true
			problems = append(problems, discover.Problem{In: s.Annotations[Annotation], Why: why})
		}
	}
	for _, s := range c.Services {
		do("updated", s.Name, r.each(ctx, func(ctx context.Context) error {
			return r.cfg.Cluster.Update(ctx, cluster.Services(), s)
		}))
	}
	for _, s := range c.NewSlices {
		if !refused[s.Labels[cluster.ServiceNameLabel]] {
			if why := r.create(ctx, cluster.Slices(), s, &cluster.EndpointSlice{}, do); why != "" {
				problems = append(problems, discover.Problem{In: s.Labels[cluster.ServiceNameLabel], Why: why})
			}
		}
	}
	for _, s := range c.Slices {
		do("updated", s.Name, r.each(ctx, func(ctx context.Context) error {
			return r.cfg.Cluster.Update(ctx, cluster.Slices(), s)
		}))
	}
	for _, s := range c.GoneSlices {
		do("deleted", s.Name, r.each(ctx, func(ctx context.Context) error {
			return r.cfg.Cluster.Delete(ctx, cluster.Slices(), &s.ObjectMeta)
		}))
	}
	for _, s := range c.GoneServices {
		do("deleted", s.Name, r.each(ctx, func(ctx context.Context) error {
			return r.cfg.Cluster.Delete(ctx, cluster.Services(), &s.ObjectMeta)
		}))
	}
	return problems, failed
}

// each bounds one request.
func (r *Room) each(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return do(ctx)
}

// object is a Service or an EndpointSlice.
type object interface {
	GetName() string
	GetLabels() map[string]string
}

// create creates an object, and returns why the cluster cannot have it: one of its name is there and not Catalyst's, or
// the node may not. One of Catalyst's is there if it was written a moment ago, or by another node.
func (r *Room) create(
	ctx context.Context, kind schema.GroupVersionResource, o, there object, do func(change, name string, err error),
) (why string) {
	err := r.each(ctx, func(ctx context.Context) error { return r.cfg.Cluster.Create(ctx, kind, o) })
	if cluster.Exists(err) {
		if err = r.each(ctx, func(ctx context.Context) error {
			return r.cfg.Cluster.Get(ctx, kind, r.cfg.Namespace, o.GetName(), there)
		}); err == nil {
			if there.GetLabels()[cluster.PartByLabel] == cluster.Manager {
				return ""
			}
			return fmt.Sprintf("%s %s/%s is there and is not Catalyst's: remove it, or have other services brought into a "+
				"namespace of their own (kubernetes.namespace)", kind.Resource, r.cfg.Namespace, o.GetName())
		}
	}
	do("created", o.GetName(), err)
	if cluster.Refused(err) {
		return err.Error()
	}
	return ""
}
