package cluster

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Service is what counts here of a Service (core/v1).
type Service struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              ServiceSpec `json:"spec"`
}

// ServiceSpec is that of a Service.
type ServiceSpec struct {
	Type       string            `json:"type,omitempty"`
	ClusterIP  string            `json:"clusterIP,omitempty"`
	IPFamilies []string          `json:"ipFamilies,omitempty"` // IPv4 or IPv6; the first is that of ClusterIP
	Selector   map[string]string `json:"selector,omitempty"`
	Ports      []ServicePort     `json:"ports,omitempty"`
}

// ServicePort is a port of a Service. The ports of its EndpointSlices have the same names.
type ServicePort struct {
	Name        string `json:"name,omitempty"`
	Protocol    string `json:"protocol,omitempty"` // TCP, UDP or SCTP
	AppProtocol string `json:"appProtocol,omitempty"`
	Port        int32  `json:"port"`
}

// EndpointSlice is what counts here of an EndpointSlice (discovery.k8s.io/v1).
type EndpointSlice struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	AddressType       string         `json:"addressType"` // IPv4, IPv6 or FQDN
	Ports             []EndpointPort `json:"ports"`
	Endpoints         []Endpoint     `json:"endpoints"`
}

// EndpointPort is a port of all endpoints of an EndpointSlice.
type EndpointPort struct {
	Name        string `json:"name"`
	Protocol    string `json:"protocol,omitempty"`
	AppProtocol string `json:"appProtocol,omitempty"`
	Port        *int32 `json:"port,omitempty"`
}

// Endpoint is one of an EndpointSlice.
type Endpoint struct {
	Addresses  []string   `json:"addresses"`
	Conditions Conditions `json:"conditions"`
}

// Conditions are those of an endpoint. What is nil is not known; an endpoint of which it is not known is ready.
type Conditions struct {
	Ready       *bool `json:"ready,omitempty"`
	Terminating *bool `json:"terminating,omitempty"`
}

// Ready tells whether an endpoint takes new calls.
func (e *Endpoint) Ready() bool {
	c := &e.Conditions
	return (c.Ready == nil || *c.Ready) && (c.Terminating == nil || !*c.Terminating)
}

// Manager stands in ManagedByLabel and PartByLabel of what a node of Catalyst writes.
const Manager = "catalyst"

// ServiceNameLabel says in an EndpointSlice which Service it is of, and ManagedByLabel who writes it.
const (
	ServiceNameLabel = "kubernetes.io/service-name"
	ManagedByLabel   = "endpointslice.kubernetes.io/managed-by"
	// PartByLabel says of an object of any kind who writes it.
	PartByLabel = "app.kubernetes.io/managed-by"
)

// Event is an Event (core/v1).
type Event struct {
	metav1.TypeMeta    `json:",inline"`
	metav1.ObjectMeta  `json:"metadata"`
	InvolvedObject     Reference   `json:"involvedObject"`
	Type               string      `json:"type"`
	Reason             string      `json:"reason"`
	Message            string      `json:"message"`
	ReportingComponent string      `json:"reportingComponent"`
	ReportingInstance  string      `json:"reportingInstance"`
	FirstTimestamp     metav1.Time `json:"firstTimestamp"`
	LastTimestamp      metav1.Time `json:"lastTimestamp"`
	Count              int32       `json:"count"`
}

// Reference names an object.
type Reference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
}
