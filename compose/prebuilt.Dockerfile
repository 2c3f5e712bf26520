# The same image of binaries built outside, where no registry can be reached: make compose-image.
FROM scratch
COPY catalyst serve /
USER 65532:65532
ENTRYPOINT ["/catalyst"]
