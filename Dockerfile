# syntax=docker/dockerfile:1
# The command line `encoderfile`, of a release:
#
#     docker build --tag encoderfile --build-arg VERSION=0.1.0 .
#     docker run --rm -v "$PWD:/work" encoderfile build ./my-model
#
# VERSION is the latest if it is not given, SOURCE a mirror, and TRUSTED_KEY a public key beside the project's own.
ARG DEBIAN=debian:bookworm-slim

FROM ${DEBIAN} AS install
ARG VERSION=
ARG SOURCE=
ARG TRUSTED_KEY=
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl minisign zstd \
    && rm -rf /var/lib/apt/lists/*
COPY install.sh /install.sh
RUN sh /install.sh --to /opt/encoderfile ${VERSION:+--version "$VERSION"} ${SOURCE:+--source "$SOURCE"} \
    ${TRUSTED_KEY:+--trusted-key "$TRUSTED_KEY"}

# With the C++ library that the ONNX Runtime in base binaries needs: `build` lets a new file answer once.
FROM ${DEBIAN}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 encoderfile \
    && install -d -o encoderfile -g encoderfile /work /home/encoderfile/.cache
COPY --from=install /opt/encoderfile/encoderfile /usr/local/bin/encoderfile
USER 1000
WORKDIR /work
ENTRYPOINT ["encoderfile"]
CMD ["--help"]
