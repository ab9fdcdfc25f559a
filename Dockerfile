# The image of Lethe: a release build, and then nothing but the binary and the libraries it links.
#
#     docker build -t lethe .
#
# `make image` does this, and starts and tries what came out; see doc/operations.md.
ARG RUST=rust:1.95-slim-bookworm
FROM ${RUST} AS build
# A binary in the context that was built elsewhere on Debian 12, in place of building one here. Empty: build.
ARG PREBUILT=
WORKDIR /src
COPY . .
RUN docker/build.sh /image "$PREBUILT"

FROM scratch
COPY --from=build /image/root /
# Volumes take over the owner and mode of what lies here.
COPY --from=build --chown=10001:10001 /image/owned /var/lib
USER 10001:10001
WORKDIR /etc/lethe
ENV LETHE_SERVER__LISTEN='["0.0.0.0:8008"]' \
    LETHE_STORAGE__DATA=/var/lib/lethe \
    LETHE_STORAGE__KEYS=/var/lib/lethe-keys
# Never a layer of the container: nothing there is overwritten in place.
VOLUME ["/var/lib/lethe", "/var/lib/lethe-keys"]
EXPOSE 8008
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["lethe", "health"]
ENTRYPOINT ["lethe"]
CMD ["serve"]
