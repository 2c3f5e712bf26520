# A node: catalyst with the Envoy that it supervises, and the example subgraphs. Build from the repository's root:
#   docker build -f compose/node.Dockerfile -t catalyst-node .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /out/ ./cmd/catalyst ./e2e/examples/serve && mkdir /out/org /out/data /out/identity /out/join /out/authz

FROM envoyproxy/envoy:distroless-v1.40.0
COPY --from=build --chown=65532:65532 /out/ /
ENV CATALYST_ENVOY=/usr/local/bin/envoy
USER 65532:65532
ENTRYPOINT ["/catalyst"]
