# The gateway's image: no compiler in what is shipped, no root, nothing written outside /var/lib/portico and /tmp.
# The engine is not in it; vLLM has its own image (docker-compose.yml).
#
# The tag names the Python minor and the Debian release and moves with their security fixes: rebuild to take them.
# To pin a build to the byte, give the digest: --build-arg PYTHON=python:3.12-slim-trixie@sha256:<digest>
ARG PYTHON=python:3.12-slim-trixie

FROM ${PYTHON} AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libnuma1 tini \
 && rm -rf /var/lib/apt/lists/* \
 && cp --dereference /usr/lib/*-linux-gnu/libnuma.so.1 /opt/
WORKDIR /src
# Dependencies before sources: a change of code does not install them again. Wheels only: none of them is compiled
# here; the environment has no pip of its own, the one of the build stage fills it from outside. With the extras
# `otel` (3 MB) and `s3` (15 MB), so that traces need nothing but `tracing.endpoint`, and files in a bucket `files.storage`.
COPY requirements/gateway.lock requirements/otel.lock requirements/s3.lock requirements/
RUN python -m venv --without-pip /opt/portico \
 && pip --python /opt/portico/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
        --requirement requirements/gateway.lock --requirement requirements/otel.lock \
        --requirement requirements/s3.lock
COPY pyproject.toml README.md LICENSE ./
COPY requirements/ requirements/
COPY config/ config/
COPY server/ server/
# The build backend comes from the lock too (no build isolation), and is not needed afterwards.
RUN pip --python /opt/portico/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
 && pip --python /opt/portico/bin/python uninstall --yes \
        editables hatchling packaging pathspec pluggy tomlkit trove-classifiers \
 && /opt/portico/bin/portico --help > /dev/null

# The hot path is compiled: a seventh to a fifth less CPU for a request (tools/compile.py says how and what).
FROM build AS compiled
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/compile
COPY requirements/compile.lock ./
RUN python -m venv /opt/compile \
 && bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: --requirement compile.lock
COPY tools/compile.py ./
RUN site=$(/opt/portico/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && bin/python compile.py --python /opt/portico/bin/python "$site" \
 && /opt/portico/bin/portico --help > /dev/null

FROM ${PYTHON}
LABEL org.opencontainers.image.title="portico" \
      org.opencontainers.image.description="OpenAI-compatible gateway in front of vLLM running gpt-oss" \
      org.opencontainers.image.licenses="Apache-2.0"
# A numeric user, so that Kubernetes can check runAsNonRoot; a new named volume takes the folder's owner and mode.
RUN groupadd --gid 10001 portico \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/portico --no-create-home --shell /usr/sbin/nologin portico \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/portico
# tini reaps orphans and passes signals on; the static build needs nothing from this stage.
COPY --from=build /usr/bin/tini-static /usr/local/bin/tini
COPY --from=compiled /opt/portico /opt/portico
# vLLM's CPU backend needs it, where Portico starts an engine itself (the service `demo` of docker-compose.yml).
COPY --from=build /opt/libnuma.so.1 /usr/local/lib/
COPY --chmod=0755 deploy/gateway/ /etc/portico/
# What is in the image, for scanners: Python's packages and Debian's, as CycloneDX.
COPY tools/sbom.py /tmp/sbom.py
RUN ldconfig \
 && install --directory /usr/share/doc/portico \
 && /opt/portico/bin/python -I /tmp/sbom.py /opt/portico > /usr/share/doc/portico/sbom.cdx.json \
 && rm /tmp/sbom.py
# No .pyc at run time: the root file system may be read-only, and pip has compiled all modules already.
ENV PATH=/opt/portico/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PORTICO_HOME=/var/lib/portico \
    PORTICO_CONFIG=/etc/portico/portico.yaml
WORKDIR /var/lib/portico
USER 10001:10001
# 8000: the API. 9464: metrics, for the scraper's network only.
EXPOSE 8000 9464
STOPSIGNAL SIGTERM
# http.client and not urllib: a proxy set for the container must not see this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tini", "--", "portico"]
CMD ["serve"]
