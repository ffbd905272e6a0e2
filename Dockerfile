# The indexer as an image: the program with its compiled code, and nothing that built it.
FROM python:3.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/install.txt requirements/runtime.txt /requirements/
COPY scripts/uv_as_pip /requirements/
# uv lives in an environment of its own, which stays behind in this stage.
RUN python3 -m venv /tools \
    && /tools/bin/python -m pip install --require-hashes -r /requirements/install.txt \
    && python3 -m venv --without-pip /opt/indexer \
    && /tools/bin/python /requirements/uv_as_pip pip install --no-cache --python /opt/indexer/bin/python \
        --require-hashes --compile-bytecode -r /requirements/runtime.txt

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY indexer indexer
COPY migrations migrations
COPY abis abis
# The program stays in /app, beside its migrations, and the environment points there. Its code is compiled for
# good: neither dates nor contents of the sources are compared at every start.
RUN /tools/bin/python /requirements/uv_as_pip pip install --no-cache --python /opt/indexer/bin/python \
        --no-deps --build-constraints /requirements/install.txt --editable /app \
    && /opt/indexer/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/indexer


FROM python:3.12-slim-bookworm

LABEL org.opencontainers.image.title="evm-indexer" \
      org.opencontainers.image.description="Indexes the events of EVM contracts into Postgres, provably complete" \
      org.opencontainers.image.licenses="MIT"

COPY --from=build /opt/indexer /opt/indexer
COPY --from=build /app /app
ENV PATH=/opt/indexer/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    INDEXER_HTTP=0.0.0.0:9464
# indexer.toml is looked for here; its paths (abis/…) are relative to it.
WORKDIR /app
# A number needs no entry in /etc/passwd, and orchestrators can see that it is not root.
USER 10001:10001
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "indexer.http.healthcheck"]
ENTRYPOINT ["indexer"]
CMD ["run"]
