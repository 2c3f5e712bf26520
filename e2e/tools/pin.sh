#!/usr/bin/env bash
# Pins the base images of the Dockerfiles by digest: asks the registry what each tag is now and writes NAME:TAG@sha256:… in its place. Run it
# where the registry can be reached, read the diff, build, commit.
set -euo pipefail
for file in compose/*Dockerfile; do
	while read -r image; do
		digest=$(docker buildx imagetools inspect "${image%@*}" --format '{{.Manifest.Digest}}') ||
			{ echo "pin: the registry does not tell the digest of ${image%@*}: nothing is changed in $file" >&2; exit 1; }
		sed -i "s|^FROM ${image}\( \|\$\)|FROM ${image%@*}@${digest}\1|" "$file"
		echo "$file: ${image%@*}@$digest"
	done < <(sed -nE 's/^FROM ([^ ]+:[^ ]+).*/\1/p' "$file" | sort -u)
done
