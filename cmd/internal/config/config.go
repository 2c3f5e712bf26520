// Package config is a node's configuration: one YAML file, overridden by CATALYST_* variables, overridden by flags.
// Every field has one name in all three: peering.listen, CATALYST_PEERING_LISTEN, --peering-listen. Only this package
// reads them.
package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/envoy/addresses"
	"github.com/catalyst-router/catalyst/envoy/ports"
)

// Config is all that a node is told. The tags give the name, the default and the text of the reference.
type Config struct {
	Identity      string   `yaml:"identity" doc:"directory of the node's bundle, as catalyst org issue-node writes it" default:"identity"`
	SealKey       string   `yaml:"seal-key" doc:"file with the key that the node's private keys are sealed under on its disk, mode 0600 (head -c 32 /dev/urandom | base64 makes one); empty: the key in CATALYST_NODE_SEAL_KEY, or seal.key in the identity directory, which is made; none: they lie in clear" default:""`
	Data          string   `yaml:"data" doc:"directory for the journal, Envoy's files and sockets" default:"data"`
	API           string   `yaml:"api" doc:"HOST:PORT of the operator API over TLS, for operators of this organisation who show their certificate or a token (policy.tokens), as policies permit; empty: the Unix socket alone" default:""`
	Socket        string   `yaml:"socket" doc:"Unix socket of the operator API; empty for catalyst.sock in the data directory" default:""`
	Admin         string   `yaml:"admin" doc:"HOST:PORT of /metrics, /healthz and /readyz; empty for none; beyond loopback only with admin-tls-cert" default:"127.0.0.1:9464"`
	AdminTLSCert  string   `yaml:"admin-tls-cert" doc:"PEM file of the certificate chain of admin; read again when it changes" default:""`
	AdminTLSKey   string   `yaml:"admin-tls-key" doc:"PEM file of its key" default:""`
	AdminClientCA string   `yaml:"admin-client-ca" doc:"PEM file of authorities: only clients with a certificate of theirs are answered at admin; empty for everybody" default:""`
	Web           string   `yaml:"web" doc:"HOST:PORT of the looking glass, a page for a browser, for whoever has the token in the data directory (catalyst web); empty for none; beyond loopback only with web-tls-cert" default:""`
	WebTLSCert    string   `yaml:"web-tls-cert" doc:"PEM file of the certificate chain of web; read again when it changes" default:""`
	WebTLSKey     string   `yaml:"web-tls-key" doc:"PEM file of its key" default:""`
	WebHosts      []string `yaml:"web-hosts" doc:"names by which browsers reach web beyond loopback, such as [edge-1.acme.example]; requests under others are refused" default:"[]"`
	DNS           string   `yaml:"dns" doc:"IP:PORT where the names of services are answered over UDP and TCP, such as 127.0.0.1:5300: loopback, or an address of a private network; empty for no DNS, and no addresses of TCP services' own" default:""`
	DNSAddresses  string   `yaml:"dns-addresses" doc:"range of IPv4 addresses, of loopback or a private network, in which each TCP service has one of its own at which Envoy takes connections at the service's own port; the same range on all nodes gives the same addresses" default:"127.64.0.0/10"`
	DNSLowPorts   bool     `yaml:"dns-low-ports" doc:"take connections for TCP services at ports below 1024 as well, if their originators say so" default:"false"`

	Discover     []string      `yaml:"discover" doc:"where services of this node are found by themselves: docker or docker=SOCKET, kubernetes, dir=DIRECTORY; several with commas between" default:"[]"`
	DiscoverHold time.Duration `yaml:"discover-hold" doc:"how long what a source found is offered after the source has gone away, 0s to 168h" default:"5m"`

	Peering        Peering        `yaml:"peering"`
	BundleEndpoint BundleEndpoint `yaml:"bundle-endpoint"`
	Envoy          Envoy          `yaml:"envoy"`
	Names          Names          `yaml:"names"`
	Gateway        Gateway        `yaml:"gateway"`
	Log            Log            `yaml:"log"`
	Recording      Recording      `yaml:"recording"`
	Tap            Tap            `yaml:"tap"`
	Stop           Stop           `yaml:"stop"`
	Policy         Policy         `yaml:"policy"`
	Kubernetes     Kubernetes     `yaml:"kubernetes"`
}

// Peering is how the node speaks with its peers.
type Peering struct {
	Listen          string        `yaml:"listen" doc:"HOST:PORT where peers may dial this node, over mutual TLS; empty to dial only" default:"127.0.0.1:7443"`
	GracefulRestart time.Duration `yaml:"graceful-restart" doc:"how long peers are asked to keep this node's routes when a session drops; 0s to 4095s" default:"120s"`
	LongLivedStale  time.Duration `yaml:"long-lived-stale" doc:"how much longer they may serve as last resort; 0s to 168h" default:"0s"`
	Trace           string        `yaml:"trace" doc:"whom catalyst trace of other nodes is answered: organisation (nodes of this organisation about every name, others about what they were given a route to), given (all about what they were given a route to) or off" default:"organisation"`
	Explain         string        `yaml:"explain" doc:"whom this node tells, when they ask with catalyst route explain --ask, why it does not tell them of a route or does not take theirs: organisation (nodes of this organisation), peers (every peer, about what passes between it and this node, with the names of rules) or off" default:"organisation"`
	PathKey         string        `yaml:"path-key" doc:"file with the private key (catalyst attestation key --path) with which this node signs the paths of the routes that it tells other organisations; empty to sign none" default:""`
	Accept          string        `yaml:"accept" doc:"who may peer with this node by dialling it: listed (who was added with catalyst peer add) or organisation (any node of this organisation as well, which is then listed)" default:"listed"`
	HoldNames       bool          `yaml:"hold-names" doc:"a node that begins to offer another's name ranks behind whoever has offered it for longest, until an operator agrees (catalyst route agree); false: it is only told of" default:"false"`
	Deferral        time.Duration `yaml:"deferral" doc:"how long a restarted node waits for its peers' tables before it publishes to Envoy; at least 1s" default:"30s"`
}

// Envoy is the data plane.
type Envoy struct {
	Enabled   bool       `yaml:"enabled" doc:"run and supervise an Envoy" default:"true"`
	Binary    string     `yaml:"binary" doc:"path of Envoy; empty to look at CATALYST_ENVOY, the PATH and .tools" default:""`
	Ingress   string     `yaml:"ingress" doc:"IP:PORT of the mesh ingress; empty for a node that offers nothing" default:"127.0.0.1:8443"`
	Advertise string     `yaml:"advertise" doc:"HOST:PORT of the mesh ingress as other nodes reach it; empty for the same" default:""`
	Admit     string     `yaml:"admit" doc:"who may come in at the mesh ingress: peers (and, where one of them reflects routes to this node, all nodes of this organisation), or organisation (those in any case)" default:"peers"`
	Egress    string     `yaml:"egress" doc:"IP:PORT of the plain HTTP egress; whoever reaches it may use every service" default:"127.0.0.1:8080"`
	TLS       string     `yaml:"tls" doc:"IP:PORT where TLS connections of applications pass unopened to the TCP service whose full name their server name (SNI) is; whoever reaches it may use every TCP service; empty for none" default:""`
	ADS       string     `yaml:"ads" doc:"HOST:PORT where Envoys on other machines of this organisation get their configuration, over mutual TLS; empty for the Unix socket alone" default:""`
	TCPIP     string     `yaml:"tcp-ip" doc:"IP address at which Envoy takes connections at the ports of TCP services; beyond loopback whoever reaches it may use every TCP service" default:"127.0.0.1"`
	TCPPorts  ports.Pool `yaml:"tcp-ports" doc:"ports of TCP services at envoy.tcp-ip: a list of ports and [first, last] pairs" default:"[[10000, 10999]]"`
	Table     string     `yaml:"table" doc:"which services of other nodes Envoy has: all, or used (those that are called through it; the first call of any other has it ask the node, see docs/on-demand.md)" default:"all"`
	AccessLog string     `yaml:"access-log" doc:"file of Envoy's access log in JSON; empty for none, /dev/stdout for Envoy's own log" default:""`
	Workers   int        `yaml:"workers" doc:"worker threads of Envoy, 1 to 256" default:"2"`
	// TunnelsTo and TunnelsFrom are read by Tunnels.
	TunnelsTo   []string `yaml:"tunnels-to" doc:"for a node that cannot be dialled: peers to whose mesh ingress its Envoy holds tunnels, by which they reach it, such as [acme.example/hub=hub.acme.example:8443]" default:"[]"`
	TunnelsFrom []string `yaml:"tunnels-from" doc:"peers that cannot be dialled and are reached by the tunnels that they hold to the mesh ingress here, such as [acme.example/site]" default:"[]"`

	KeepUnused time.Duration `yaml:"keep-unused" doc:"with table used: how long Envoy keeps a service without a call, and twice that at most, 1s to 8760h" default:"1h"`
	MostUsed   int           `yaml:"most-used" doc:"with table used: how many services one Envoy has at most, besides those beside this node, 100 to 1000000; one more has the one forgotten whose last call is longest ago" default:"100000"`
	TCP        []string      `yaml:"tcp" doc:"with table used: the TCP services of other nodes that have their local port from the beginning: names, *.NAME for all below NAME, or * for all; any other gets its port when an operator asks for it (catalyst envoy table use)" default:"['*']"`

	StreamWindow int           `yaml:"stream-window" doc:"bytes of one HTTP/2 stream that are under way or wait for a slow reader, in each direction at each Envoy, 65535 to 8388608; a stream carries at most that much in a round trip" default:"1048576"`
	Descriptors  int           `yaml:"descriptors" doc:"how many files and sockets Envoy may have open, 512 to 1048576; its limits of connections follow from that; 0 for as many as the node itself may have (ulimit -Hn)" default:"0"`
	Memory       int           `yaml:"memory" doc:"MiB of memory from nine tenths of which on Envoy ends the streams that hold most and then refuses requests, at least 64; 0 for half of what the machine has" default:"0"`
	Headers      int           `yaml:"headers" doc:"KiB of the headers of a request or response, 1 to 8192" default:"128"`
	HTTP10       bool          `yaml:"http10" doc:"serve requests of HTTP/1.0 at the egress; false answers them with 426" default:"true"`
	WorkloadIdle time.Duration `yaml:"workload-idle" doc:"how long a connection to an HTTP/1 workload is kept without a request, 1ms to 1h; has to be less than the workload keeps it" default:"4s"`
	Connect      time.Duration `yaml:"connect" doc:"how long a try to connect to the only workload or next hop of a service lasts, TLS included, 100ms to 30s; half of it where there are several, so that a request waits for twice this in all, whatever is dead" default:"2s"`

	MeshStream     time.Duration `yaml:"mesh-stream" doc:"how long a request or connection of another node may last at the mesh ingress, 1m to 8760h; 0 for ever" default:"168h"`
	MeshConnection time.Duration `yaml:"mesh-connection" doc:"how old a connection of another node becomes before requests go over a new one, made with the certificates of that moment, 1m to 8760h, and half the life of this node's certificates at most; what is under way on the old one goes on; 0 for ever" default:"1h"`
}

// Names is how the hosts of workloads are looked up.
type Names struct {
	Server   string        `yaml:"server" doc:"IP:PORT of the DNS server to ask; empty for those of the system" default:""`
	Interval time.Duration `yaml:"interval" doc:"how often the host of a workload is looked up if the time to live of its records is not known, or there are none, 1s to 1h" default:"5s"`
	Keep     time.Duration `yaml:"keep" doc:"how long the addresses of a host are used after its records have gone, or no DNS server answers; 0s to 168h" default:"10m"`
}

// Stop is how the node ends.
type Stop struct {
	SIGTERM string        `yaml:"sigterm" doc:"what SIGTERM does: restart (Envoy and peers go on with what they have) or drain (traffic is moved away first, then the node ends for good, as by SIGINT); drain is for containers, where Envoy ends with the node" default:"restart"`
	Drain   time.Duration `yaml:"drain" doc:"how long a node that drains waits for traffic to be gone, 1s to 1h; it ends sooner when there is none" default:"20s"`
}

// Recording keeps what happens to the routing of the node, for catalyst replay.
type Recording struct {
	Enabled   bool   `yaml:"enabled" doc:"record every event of routing, for catalyst replay; names, addresses and rules, no keys" default:"false"`
	Directory string `yaml:"directory" doc:"where; empty for recording in the data directory" default:""`
	Megabytes int    `yaml:"megabytes" doc:"how much all recordings together may take, 4 to 1048576; the oldest go first" default:"256"`
}

// Tap is what the node is told of calls, for catalyst tap.
type Tap struct {
	Join      []string      `yaml:"join" doc:"organisations with which calls are joined: their nodes on the way of a call are asked what they remember of it, and are told what is remembered here (catalyst tap --join). Both sides have to name each other" default:"[]"`
	Enabled   bool          `yaml:"enabled" doc:"have Envoy tell the node of calls as they end, for catalyst tap, the looking glass and the figures of who calls what" default:"false"`
	Share     float64       `yaml:"share" doc:"how many of a hundred calls are told of, 0 to 100; those that failed, were denied or were slow are told of in any case" default:"100"`
	Slow      time.Duration `yaml:"slow" doc:"from when on a call is slow, 1ms to 1h" default:"1s"`
	Megabytes int           `yaml:"megabytes" doc:"memory for the calls of a while ago, half of it for those that failed or were denied, 1 to 4096" default:"64"`
}

// Policy is who may call the services that this node takes calls for.
type Policy struct {
	Enforce string   `yaml:"enforce" doc:"on (Envoy asks about every request and connection that other nodes send, and what no policy permits is denied), shadow (it asks, everything passes, and what would be denied is recorded) or off" default:"off"`
	Egress  bool     `yaml:"egress" doc:"ask about calls and TCP connections of this node's own applications as well" default:"false"`
	Headers []string `yaml:"headers" doc:"names of request headers, in lower case, that policies may look at" default:"[]"`
	Follow  []string `yaml:"follow" doc:"names of the nodes of this organisation whose policies this node takes, itself among them if policies may be applied here; * for every node; empty: this node has policies of its own" default:"[]"`
	Sample  int      `yaml:"sample" doc:"how many of a hundred allowed calls are kept for catalyst policy simulate and why, 0 to 100; denied ones all are" default:"10"`

	Tokens   string     `yaml:"tokens" doc:"organisation: callers may show bearer tokens of this node's organisation, which are verified by what its identity service tells; empty: those of policy.jwks and policy.issuers alone. Without any, tokens are not looked at, and go on to the workload" default:""`
	Issuers  []string   `yaml:"issuers" doc:"other organisations whose tokens callers may show, as ORGANISATION=HOST:PORT of their identity services (then a comma and the iss, unless it is https://auth.ORGANISATION), which have to let this node's organisation follow what they revoke (catalyst auth --followers)" default:"[]"`
	JWKS     secret.URL `yaml:"jwks" doc:"file or https URL of the keys (ES384) of one more issuer of bearer tokens, which is read again as it changes" default:""`
	Issuer   string     `yaml:"issuer" doc:"iss of the tokens of policy.jwks; wanted with it" default:""`
	Audience string     `yaml:"audience" doc:"aud that tokens must have; empty for this node's organisation" default:""`
}

// Log is what the node writes on standard error.
type Log struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error" default:"info"`
	Format string `yaml:"format" doc:"text or json" default:"text"`
}

// Field is one setting.
type Field struct {
	Key     string // peering.listen
	Doc     string
	Default string
	index   []int
	goType  string
}

// Env returns the name of the field's environment variable.
func (f Field) Env() string {
	return "CATALYST_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(f.Key))
}

// Flag returns the name of the field's flag.
func (f Field) Flag() string { return strings.ReplaceAll(f.Key, ".", "-") }

// Bool tells whether the field is true or false.
func (f Field) Bool() bool { return f.goType == "bool" }

// List tells whether the field is a list of text.
func (f Field) List() bool { return f.goType == "[]string" }

// Kind is what the field wants, in words.
func (f Field) Kind() string { return kindOf(f.goType) }

// scalar tells whether the field is neither a list nor has keys below it.
func (f Field) scalar() bool {
	return !strings.HasPrefix(f.goType, "[]") && !strings.HasPrefix(f.goType, "map[") && f.goType != "ports.Pool"
}

// Fields returns every setting, in the order of the reference.
func Fields() []Field { return fieldsOf(reflect.TypeFor[Config](), "", nil) }

func fieldsOf(t reflect.Type, prefix string, index []int) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		key := prefix + f.Tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[secret.URL]() &&
			f.Type != reflect.TypeFor[ports.Pool]() {
			all = append(all, fieldsOf(f.Type, key+".", at)...)
			continue
		}
		all = append(all, Field{
			Key:     key,
			Doc:     f.Tag.Get("doc"),
			Default: f.Tag.Get("default"),
			index:   at,
			goType:  f.Type.String(),
		})
	}
	return all
}

// Load puts a configuration together: defaults, the file (which may be "" for none), variables, flags (by Flag name;
// only those given).
func Load(path string, env func(string) (string, bool), flags map[string]string) (*Config, error) {
	c := &Config{}
	var errs []error
	for _, f := range Fields() {
		errs = append(errs, c.set(f, f.Default, "default"))
	}
	if path != "" {
		b, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		if err := c.read(b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	for _, f := range Fields() {
		if v, ok := env(f.Env()); ok {
			errs = append(errs, c.set(f, v, f.Env()))
		}
		if v, ok := flags[f.Flag()]; ok {
			errs = append(errs, c.set(f, v, "--"+f.Flag()))
		}
	}
	if c.Socket == "" {
		c.Socket = filepath.Join(c.Data, "catalyst.sock")
	}
	if c.Envoy.Advertise == "" {
		c.Envoy.Advertise = c.Envoy.Ingress
	}
	return c, errors.Join(append(errs, c.check()...)...)
}

// readFile reads a file, or standard input for "-".
func readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

// set gives a field a value in text.
func (c *Config) set(f Field, text, from string) error {
	v := reflect.ValueOf(c).Elem().FieldByIndex(f.index)
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *secret.URL:
		*p = secret.NewURL(text)
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%s (%s): %q: want a duration such as 90s", f.Key, from, text)
		}
		*p = d
	case *bool:
		switch text {
		case "true":
			*p = true
		case "false":
			*p = false
		default:
			return fmt.Errorf("%s (%s): %q: want true or false", f.Key, from, text)
		}
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%s (%s): %q: want a whole number", f.Key, from, text)
		}
		*p = n
	case *ports.Pool:
		pool, err := ports.Parse(text)
		if err != nil {
			return fmt.Errorf("%s (%s): %w", f.Key, from, err)
		}
		*p = pool
	default: // lists and objects, in the notation of YAML
		if text == "" {
			return nil
		}
		if list, ok := p.(*[]string); ok && plain(text) {
			*list = strings.Split(text, ",")
			return nil
		}
		if err := yaml.UnmarshalWithOptions([]byte(text), p, yaml.Strict()); err != nil {
			return fmt.Errorf("%s (%s): %s", f.Key, from, inWords(err))
		}
	}
	return nil
}

// plain tells whether a list of text is written as words with commas between them, and not in the notation of YAML.
func plain(text string) bool {
	return !strings.ContainsAny(text, "[]\n\"'# ") && !strings.HasPrefix(text, "-")
}

// check reports every problem, each with the field and the rule.
func (c *Config) check() []error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	c.checkAddresses(bad)
	c.checkDNS(bad)
	c.checkAdmin(bad)
	c.Peering.check(bad)
	c.BundleEndpoint.check(bad)
	c.Names.check(bad)
	c.Envoy.check(bad)
	c.Gateway.check(bad)
	c.checkPolicy(bad)
	c.checkRun(bad)
	c.Kubernetes.check(bad)
	if d := c.DiscoverHold; d < 0 || d > 168*time.Hour {
		bad("discover-hold", "%s: want 0s to 168h", d)
	}
	if _, err := c.Sources(); err != nil {
		bad("discover", "%w", err)
	}
	return errs
}

func (c *Config) checkAddresses(bad func(key, format string, args ...any)) {
	for key, v := range map[string]string{"identity": c.Identity, "data": c.Data, "envoy.egress": c.Envoy.Egress} {
		if v == "" {
			bad(key, "must not be empty")
		}
	}
	for key, v := range map[string]string{"admin": c.Admin, "peering.listen": c.Peering.Listen,
		"envoy.ingress": c.Envoy.Ingress, "envoy.advertise": c.Envoy.Advertise, "envoy.egress": c.Envoy.Egress,
		"envoy.ads": c.Envoy.ADS, "envoy.tls": c.Envoy.TLS, "web": c.Web, "bundle-endpoint.listen": c.BundleEndpoint.Listen} {
		if v == "" {
			continue
		}
		at, err := listenOrDial(key)(v)
		_, isIP := at.IP()
		switch {
		case err != nil:
			bad(key, "%w", err)
		case (key == "envoy.ingress" || key == "envoy.egress" || key == "envoy.tls") && !isIP:
			bad(key, "%q: want an IP address, such as 127.0.0.1, before the port", v)
		case key == "admin" && !isLoopback(at.Host) && c.AdminTLSCert == "":
			bad(key, "%q: is beyond loopback and has no TLS; use 127.0.0.1, or give admin-tls-cert and admin-tls-key", v)
		case key == "web" && !isLoopback(at.Host) && c.WebTLSCert == "":
			bad(key, "%q: is beyond loopback and has no TLS; use 127.0.0.1, or give web-tls-cert and web-tls-key", v)
		case key == "web" && !isLoopback(at.Host) && len(c.WebHosts) == 0:
			bad("web-hosts", "must not be empty where web is beyond loopback: by which name do browsers reach it?")
		}
	}
}

func (c *Config) checkAdmin(bad func(key, format string, args ...any)) {
	if (c.AdminTLSCert == "") != (c.AdminTLSKey == "") {
		bad("admin-tls-cert", "and admin-tls-key belong together")
	}
	if (c.WebTLSCert == "") != (c.WebTLSKey == "") {
		bad("web-tls-cert", "and web-tls-key belong together")
	}
	if c.AdminClientCA != "" && c.AdminTLSCert == "" {
		bad("admin-client-ca", "is of no use without admin-tls-cert")
	}
}

func (p *Peering) check(bad func(key, format string, args ...any)) {
	if d := p.GracefulRestart; d < 0 || d > 4095*time.Second {
		bad("peering.graceful-restart", "%s: want 0s to 4095s", d)
	}
	if d := p.LongLivedStale; d < 0 || d > 168*time.Hour {
		bad("peering.long-lived-stale", "%s: want 0s to 168h", d)
	}
	if d := p.Deferral; d < time.Second {
		bad("peering.deferral", "%s: want at least 1s", d)
	}
	switch p.Trace {
	case "organisation", "given", "off":
	default:
		bad("peering.trace", "%q: want organisation, given or off", p.Trace)
	}
	switch p.Explain {
	case "organisation", "peers", "off":
	default:
		bad("peering.explain", "%q: want organisation, peers or off", p.Explain)
	}
	if p.Accept != "listed" && p.Accept != "organisation" {
		bad("peering.accept", "%q: want listed or organisation", p.Accept)
	}
}

func (n *Names) check(bad func(key, format string, args ...any)) {
	if at, err := bgp.ParseEndpoint(n.Server); n.Server != "" && err != nil {
		bad("names.server", "%w", err)
	} else if _, isIP := at.IP(); n.Server != "" && !isIP {
		bad("names.server", "%q: want an IP address before the port", n.Server)
	}
	if d := n.Interval; d < time.Second || d > time.Hour {
		bad("names.interval", "%s: want 1s to 1h", d)
	}
	if d := n.Keep; d < 0 || d > 168*time.Hour {
		bad("names.keep", "%s: want 0s to 168h", d)
	}
}

func (e *Envoy) check(bad func(key, format string, args ...any)) {
	if _, _, err := e.Tunnels(); err != nil {
		bad("envoy", "%w", err)
	}
	if e.Admit != "peers" && e.Admit != "organisation" {
		bad("envoy.admit", "%q: want peers or organisation", e.Admit)
	}
	if e.Table != "all" && e.Table != "used" {
		bad("envoy.table", "%q: want all or used", e.Table)
	}
	if ip, err := netip.ParseAddr(e.TCPIP); err != nil || ip.IsMulticast() {
		bad("envoy.tcp-ip", "%q: want an IP address, such as 127.0.0.1", e.TCPIP)
	}
	for _, pattern := range e.TCP {
		if err := filter.CheckPattern(pattern); err != nil {
			bad("envoy.tcp", "%q %w", pattern, err)
		}
	}
	if d := e.KeepUnused; d < time.Second || d > 8760*time.Hour {
		bad("envoy.keep-unused", "%s: want 1s to 8760h", d)
	}
	if n := e.MostUsed; n < 100 || n > 1_000_000 {
		bad("envoy.most-used", "%d: want 100 to 1000000", n)
	}
	if n := e.Workers; n < 1 || n > 256 {
		bad("envoy.workers", "%d: want 1 to 256", n)
	}
	e.checkLimits(bad)
}

// checkRun checks how the node ends, records and logs.
func (c *Config) checkRun(bad func(key, format string, args ...any)) {
	if c.Stop.SIGTERM != "restart" && c.Stop.SIGTERM != "drain" {
		bad("stop.sigterm", "%q: want restart or drain", c.Stop.SIGTERM)
	}
	if d := c.Stop.Drain; d < time.Second || d > time.Hour {
		bad("stop.drain", "%s: want 1s to 1h", d)
	}
	if n := c.Recording.Megabytes; n < 4 || n > 1<<20 {
		bad("recording.megabytes", "%d: want 4 to %d", n, 1<<20)
	}
	for _, o := range c.Tap.Join {
		if _, err := bgp.ParseOrg(o); err != nil {
			bad("tap.join", "%v: want organisations such as bravo.example", err)
		}
	}
	if len(c.Tap.Join) > 0 && !c.Tap.Enabled {
		bad("tap.join", "%s: nothing is remembered of calls without tap.enabled", strings.Join(c.Tap.Join, ", "))
	}
	if s := c.Tap.Share; s < 0 || s > 100 || s != s {
		bad("tap.share", "%g: want 0 to 100", s)
	}
	if d := c.Tap.Slow; d < time.Millisecond || d > time.Hour {
		bad("tap.slow", "%s: want 1ms to 1h", d)
	}
	if n := c.Tap.Megabytes; n < 1 || n > 4096 {
		bad("tap.megabytes", "%d: want 1 to 4096", n)
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		bad("log.level", "%q: want debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format", "%q: want text or json", c.Log.Format)
	}
	if len(c.Socket) > 100 {
		bad("socket", "%q: longer than the 100 characters that a Unix socket may have; choose a shorter data directory",
			c.Socket)
	}
}

// listenOrDial returns how an address is read: where this node listens may be every address of the machine, where
// others dial it may not.
func listenOrDial(key string) func(string) (bgp.Endpoint, error) {
	switch key {
	case "envoy.advertise", "envoy.ingress", "envoy.egress", "envoy.tls":
		return bgp.ParseEndpoint
	}
	return bgp.ParseListen
}

func (c *Config) checkPolicy(bad func(key, format string, args ...any)) {
	switch c.Policy.Enforce {
	case "on", "shadow", "off":
	default:
		bad("policy.enforce", "%q: want on, shadow or off", c.Policy.Enforce)
	}
	if c.Policy.Enforce != "off" && c.Envoy.ADS != "" {
		bad("policy.enforce", "an Envoy on another machine (envoy.ads) cannot ask this node, and would let nothing through")
	}
	if c.Policy.Sample < 0 || c.Policy.Sample > 100 {
		bad("policy.sample", "%d: want 0 to 100", c.Policy.Sample)
	}
	if t := c.Policy.Tokens; t != "" && t != "organisation" {
		bad("policy.tokens", "%q: want organisation, or nothing", t)
	}
	if _, err := c.Policy.Others(); err != nil {
		bad("policy.issuers", "%v", err)
	}
	if c.Policy.JWKS.Reveal() != "" && c.Policy.Issuer == "" {
		bad("policy.jwks", "wants policy.issuer: a token of somebody else must not pass")
	}
	for _, name := range c.Policy.Follow {
		if name != "*" && bgp.CheckName(name) != nil {
			bad("policy.follow", "%q: want the name of a node of this organisation, as edge-1, or *", name)
		}
	}
	for _, h := range c.Policy.Headers {
		if h == "" || h != strings.ToLower(h) || strings.ContainsAny(h, " :\t") || h == "authorization" || h == "cookie" {
			bad("policy.headers", "%q: want the name of a header in lower case, and none that holds secrets", h)
		}
	}
}

func (e *Envoy) checkLimits(bad func(key, format string, args ...any)) {
	between := func(key string, v, least, most int) {
		if v < least || v > most {
			bad("envoy."+key, "%d: want %d to %d", v, least, most)
		}
	}
	between("stream-window", e.StreamWindow, 65_535, 8<<20)
	if e.Descriptors != 0 {
		between("descriptors", e.Descriptors, 512, 1<<20)
	}
	if e.Memory != 0 {
		between("memory", e.Memory, 64, 1<<30)
	}
	between("headers", e.Headers, 1, 8192)
	if d := e.WorkloadIdle; d < time.Millisecond || d > time.Hour {
		bad("envoy.workload-idle", "%s: want 1ms to 1h", d)
	}
	if d := e.Connect; d < 100*time.Millisecond || d > 30*time.Second {
		bad("envoy.connect", "%s: want 100ms to 30s", d)
	}
	for key, d := range map[string]time.Duration{"mesh-stream": e.MeshStream, "mesh-connection": e.MeshConnection} {
		if d != 0 && (d < time.Minute || d > 365*24*time.Hour) {
			bad("envoy."+key, "%s: want 1m to 8760h, or 0 for ever", d)
		}
	}
}

func (c *Config) checkDNS(bad func(key, format string, args ...any)) {
	if _, err := addresses.Parse(c.DNSAddresses); err != nil {
		bad("dns-addresses", "%w", err)
	}
	if c.DNS == "" {
		return
	}
	at, err := bgp.ParseEndpoint(c.DNS)
	ip, isIP := at.IP()
	switch {
	case err != nil:
		bad("dns", "%w", err)
	case !isIP:
		bad("dns", "%q: want an IP address, such as 127.0.0.1, before the port", c.DNS)
	case !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast():
		bad("dns", "%q: want loopback, or an address of a private network such as that of Docker's bridge: DNS has no TLS",
			c.DNS)
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Reference returns the configuration reference in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\nGenerated from the code. A node reads one YAML file (`catalyst node --config " +
		"FILE`); a `CATALYST_*` variable overrides it, a flag overrides both.\nAn unknown key is an error. `catalyst " +
		"config check` tells every problem at once, `catalyst config show` what is in force.\n\n")
	b.WriteString("| key | variable | flag | default | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range Fields() {
		fmt.Fprintf(&b, "| `%s` | `%s` | `--%s` | `%s` | %s |\n", f.Key, f.Env(), f.Flag(), f.Default, f.Doc)
	}
	return strings.ReplaceAll(b.String(), "| `` |", "| |")
}

// Value returns the value of a field.
func (c *Config) Value(f Field) any {
	return reflect.ValueOf(c).Elem().FieldByIndex(f.index).Interface()
}
