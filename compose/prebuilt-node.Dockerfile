# The image of node.Dockerfile of binaries built outside, where no registry can be reached: make compose-image. Envoy comes with the libraries that it is
# linked with.
FROM scratch
COPY --chown=65532:65532 . /
ENV CATALYST_ENVOY=/usr/local/bin/envoy
USER 65532:65532
ENTRYPOINT ["/catalyst"]
