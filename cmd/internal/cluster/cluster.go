// Package cluster reads and writes objects of a Kubernetes cluster, through its kube-apiserver:
//
//	c, err := cluster.Connect("")                          // with the service account of the node's Pod
//	services := cluster.Follow(c, cluster.Services, "shop", read, changed)
//	go services.Run(ctx)                                   // lists once, and then watches
//	all, err := services.All()                             // an error while the kube-apiserver does not answer
//
// Objects are read without the types of k8s.io/api: those of all kinds would make the program larger by half, and the
// few fields that are wanted stand in objects.go (docs/decisions/0069).
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Requests a second that are sent at the most in the long run, and at once.
const (
	rate  = 20
	burst = 40
)

// namespaceFile is where a Pod finds the name of its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace" //nolint:gosec // a file's name

// Services are the objects of kind Service, and so on.
func Services() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "services"}
}

// Slices are the objects of kind EndpointSlice.
func Slices() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
}

// ConfigMaps are the objects of kind ConfigMap.
func ConfigMaps() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
}

// Events are the objects of kind Event.
func Events() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "events"}
}

// Cluster is a Kubernetes cluster. It is safe for concurrent use.
type Cluster struct {
	client    dynamic.Interface
	namespace string
}

// Connect makes the client of a cluster, and sends nothing. kubeconfig is a file with its address and with credentials;
// "" for the service account of the Pod in which the node runs.
func Connect(kubeconfig string) (*Cluster, error) {
	c := &Cluster{}
	var cfg *rest.Config
	var err error
	if kubeconfig == "" {
		cfg, c.namespace, err = inPod()
	} else {
		from := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, nil)
		if cfg, err = from.ClientConfig(); err == nil {
			c.namespace, _, err = from.Namespace()
		}
		if err != nil {
			err = fmt.Errorf("kubernetes.kubeconfig: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst, cfg.UserAgent = rate, burst, "catalyst"
	c.client, err = dynamic.NewForConfig(cfg)
	return c, err
}

func inPod() (*rest.Config, string, error) {
	cfg, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, "", errors.New("this node runs in no Pod of a Kubernetes cluster: give the file with the cluster's " +
			"address and credentials as kubernetes.kubeconfig")
	}
	if err != nil {
		return nil, "", fmt.Errorf("the service account of this Pod (is automountServiceAccountToken false?): %w", err)
	}
	name, err := os.ReadFile(namespaceFile)
	return cfg, strings.TrimSpace(string(name)), err
}

// Namespace is that of the Pod, or of the kubeconfig.
func (c *Cluster) Namespace() string { return c.namespace }

// quiet keeps client-go from logging each attempt: All says why there are none, and the sources of discovery log that.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, logr.Discard()) }

// Get reads an object.
func (c *Cluster) Get(ctx context.Context, kind schema.GroupVersionResource, namespace, name string, into any) error {
	u, err := c.client.Resource(kind).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return plain(err)
	}
	return decode(u, into)
}

// Create creates an object, which has an apiVersion and a kind, and names its namespace.
func (c *Cluster) Create(ctx context.Context, kind schema.GroupVersionResource, object any) error {
	u, err := encode(object)
	if err != nil {
		return err
	}
	_, err = c.client.Resource(kind).Namespace(u.GetNamespace()).Create(ctx, u, options())
	return plain(err)
}

func options() metav1.CreateOptions {
	return metav1.CreateOptions{FieldManager: "catalyst", FieldValidation: metav1.FieldValidationStrict}
}

// Update replaces an object, of which the caller has seen the resourceVersion that it names: it fails if somebody has
// changed the object since.
func (c *Cluster) Update(ctx context.Context, kind schema.GroupVersionResource, object any) error {
	u, err := encode(object)
	if err != nil {
		return err
	}
	_, err = c.client.Resource(kind).Namespace(u.GetNamespace()).Update(ctx, u,
		metav1.UpdateOptions{FieldManager: "catalyst", FieldValidation: metav1.FieldValidationStrict})
	return plain(err)
}

// Delete deletes an object as the caller has seen it: it fails if it has been changed since, or is another one of the
// same name. One that is gone is no error.
func (c *Cluster) Delete(ctx context.Context, kind schema.GroupVersionResource, of *metav1.ObjectMeta) error {
	err := c.client.Resource(kind).Namespace(of.Namespace).Delete(ctx, of.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &of.UID, ResourceVersion: &of.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return plain(err)
}

// Exists tells whether an error says that there is an object of that name.
func Exists(err error) bool { return apierrors.IsAlreadyExists(err) }

// Refused tells whether an error says that the node's account may not do what it asked for, or that the object is not
// one that the kube-apiserver takes.
func Refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// plain adds to an error of missing rights what to do.
func plain(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w (docs/kubernetes.md says which rights the node wants)", err)
	}
	return err
}

func decode(u *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		return fmt.Errorf("%s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	return nil
}

func encode(object any) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	return &unstructured.Unstructured{Object: m}, err
}
