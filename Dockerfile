# Guard's image: Guard in a virtual environment, with the git, ssh, gpg, kustomize, helm and sops that it runs. It needs no compiler.
#
#   make image-test                                   # builds and runs it, where an engine and a registry are missing, too
#   install -D "$(command -v kustomize)" build/kustomize
#   install -D "$(command -v helm)" build/helm
#   install -D "$(command -v sops)" build/sops
#   docker build --build-arg VERSION=0.1.0 --tag gitops-guard:0.1.0 .
#
# build/ holds the Linux binaries for the image's architecture, in the versions that the go.mod files below tools/ pin.
# BASE_IMAGE may be any Debian with Python 3.11 or newer (bookworm, trixie), or an image made from one.
ARG BASE_IMAGE=debian:trixie-slim

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
SHELL ["/bin/sh", "-eux", "-c"]
# Debian's security updates are wanted, so no version is pinned.
# hadolint ignore=DL3008
RUN apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv; \
    rm -rf /var/lib/apt/lists/*
# Two environments: one with pip that builds, and one without that is shipped.
RUN python3 -m venv /opt/build; \
    python3 -m venv --without-pip /opt/guard
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The locks first: they change less often than the code. Of the second only the build backend and what it needs are taken.
COPY requirements.txt requirements-dev.txt ./
RUN awk '/^[a-z]/ { take = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } take' requirements-dev.txt > build.txt; \
    /opt/build/bin/pip install --require-hashes --only-binary :all: -r build.txt; \
    /opt/build/bin/pip --python /opt/guard/bin/python install --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md ./
COPY guard guard
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .; \
    /opt/build/bin/pip --python /opt/guard/bin/python install --no-deps /wheels/*.whl

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
ARG VERSION=unversioned
LABEL org.opencontainers.image.title="Guard" \
      org.opencontainers.image.description="Keeps a Kubernetes cluster equal to Git" \
      org.opencontainers.image.version="${VERSION}"
SHELL ["/bin/sh", "-eux", "-c"]
# tini hands signals on while Guard is starting, and reaps what git leaves behind; process 1 has to do both.
# hadolint ignore=DL3008
RUN apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates git gpg gpg-agent openssh-client python3 tini; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/*; \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +; \
    echo 'guard:x:65532:65532::/var/lib/guard:/usr/sbin/nologin' >> /etc/passwd; \
    install -d -o 65532 -g 65532 -m 0700 /var/lib/guard
COPY build/kustomize build/helm build/sops /usr/local/bin/
COPY --from=build /opt/guard /opt/guard
# The user has a name since ssh does not run for one without. The data folder is the one place it writes to, besides /tmp,
# and /dev/shm for what it decrypts.
ENV PATH=/opt/guard/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/guard \
    GUARD_DATA_DIR=/var/lib/guard
USER 65532:65532
WORKDIR /var/lib/guard
VOLUME ["/var/lib/guard"]
EXPOSE 9443 8080
ENTRYPOINT ["tini", "--", "guard"]
CMD ["run"]
