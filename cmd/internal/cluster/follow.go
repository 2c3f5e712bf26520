package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// The pauses after a kube-apiserver that did not answer: longer ones each time, and none longer than the last.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 5 * time.Second
	pauses     = 8
)

var errNotYet = errors.New("the kube-apiserver has not answered yet")

// Objects are the objects of one kind, in one namespace or in all of them, as they are at the kube-apiserver. T is what
// is kept of each. They are safe for concurrent use.
type Objects[T any] struct {
	at      cache.ListerWatcher
	read    func(T) (T, bool)
	changed func()

	mu      sync.Mutex
	objects map[string]*T // by NAMESPACE/NAME; guarded by mu
	err     error         // why they may be others by now; nil while they are followed; guarded by mu
	listed  bool          // guarded by mu
}

// Follow returns the objects of a kind in a namespace, "" for all namespaces, and with certain labels, "" for any.
// keep returns what is to be kept of an object, and false for nothing. changed is called after every change, and has
// to return at once. Nothing is asked for before Run.
func Follow[T any](
	c *Cluster, kind schema.GroupVersionResource, namespace, labels string, keep func(T) (T, bool), changed func(),
) *Objects[T] {
	o := &Objects[T]{read: keep, changed: changed, objects: map[string]*T{}, err: errNotYet}
	client := c.client.Resource(kind).Namespace(namespace)
	o.at = cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			opts.LabelSelector = labels
			list, err := client.List(ctx, opts)
			o.answered(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.LabelSelector = labels
			w, err := client.Watch(ctx, opts)
			o.answered(ctx, err)
			return w, err
		},
	}, c.client)
	return o
}

// Run follows the objects until ctx ends.
func (o *Objects[T]) Run(ctx context.Context) {
	r := cache.NewReflectorWithOptions(o.at, &unstructured.Unstructured{}, (*store[T])(o), cache.ReflectorOptions{
		Backoff: &wait.Backoff{Duration: firstPause, Cap: lastPause, Steps: pauses, Factor: 1.5, Jitter: 0.2},
	})
	r.RunWithContext(quiet(ctx))
}

// All returns what is kept, sorted by namespace and name, and an error if it may be otherwise by now because the
// kube-apiserver does not answer.
func (o *Objects[T]) All() ([]*T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.err
	if err == nil && !o.listed {
		err = errNotYet
	}
	all := make([]*T, 0, len(o.objects))
	for _, key := range slices.Sorted(maps.Keys(o.objects)) {
		all = append(all, o.objects[key])
	}
	return all, err
}

// answered notes what came of a request.
func (o *Objects[T]) answered(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.mu.Lock()
	o.err = plain(err)
	o.mu.Unlock()
	o.changed()
}

// store is what the reflector writes to. It keeps what was read of an object.
type store[T any] Objects[T]

var _ cache.ReflectorStore = (*store[any])(nil)

// take reads an object. The caller holds mu.
func (s *store[T]) take(object any) error {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return errors.New("what came is no object")
	}
	key := u.GetNamespace() + "/" + u.GetName()
	var all T
	if err := decode(u, &all); err != nil {
		return err
	}
	if kept, ok := s.read(all); ok {
		s.objects[key] = &kept
	} else {
		delete(s.objects, key)
	}
	return nil
}

// Add implements cache.ReflectorStore.
func (s *store[T]) Add(object any) error {
	defer s.changed()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(object)
}

// Update implements cache.ReflectorStore.
func (s *store[T]) Update(object any) error { return s.Add(object) }

// Delete implements cache.ReflectorStore.
func (s *store[T]) Delete(object any) error {
	defer s.changed()
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := object.(*unstructured.Unstructured); ok {
		delete(s.objects, u.GetNamespace()+"/"+u.GetName())
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store[T]) Replace(list []any, _ string) error {
	defer s.changed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects, s.listed = map[string]*T{}, true
	for _, object := range list {
		if err := s.take(object); err != nil {
			return err
		}
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *store[T]) Resync() error { return nil }
