#!/usr/bin/env bash
# Generates Go from protobuf and GraphQL, the configuration reference, and the notice of licences. The argument is the buf binary.
set -euo pipefail
"$1" generate
# gqlgen must not load the package that it generates for: its hand-written half does not compile without the other.
(cd graphql/operator && go tool gqlgen generate)
(cd graphql/operator/client && go tool genqlient genqlient.yaml)
(cd graphql/operator/mesh && go tool gqlgen generate)
for example in books movies products orders; do
	(cd "e2e/examples/$example" && go tool gqlgen generate)
done
mkdir -p docs/reference
go run ./cmd/catalyst config reference > docs/reference/configuration.md
go run ./e2e/tools/metrics . > docs/reference/metrics.md.new
mv docs/reference/metrics.md.new docs/reference/metrics.md
go run ./e2e/tools/licenses ./cmd/catalyst > cmd/internal/cli/licenses.txt.new
mv cmd/internal/cli/licenses.txt.new cmd/internal/cli/licenses.txt
go run ./e2e/tools/dashboards compose/observability/dashboards.yaml compose/observability/dashboards
