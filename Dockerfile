# One image for every process here; docker-compose.yml says which runs what.

FROM python:3.13-slim AS dependencies
RUN python -m venv --without-pip /venv
COPY deploy/requirements.lock /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /venv/bin/python install --quiet --require-hashes --only-binary :all: -r /tmp/requirements.lock

FROM dependencies AS project
COPY . /tmp/project
RUN pip --python /venv/bin/python install --quiet --no-index --no-deps --no-build-isolation --prefix /project /tmp/project

FROM dependencies AS runtime
RUN pip --python /venv/bin/python uninstall --quiet --yes setuptools \
 && cd /venv/lib/python3.13/site-packages \
 && rm -r cv2/data pyarrow/include pyarrow/tests pyarrow/*flight*

FROM python:3.13-slim
LABEL org.opencontainers.image.title="circles" org.opencontainers.image.licenses="Apache-2.0"
# Volumes that are mounted here for the first time take over these owners.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin circles \
 && install --directory --owner circles --group circles /data/objects /data/lake
# Dependencies are a layer of their own: a change of the code moves the last megabyte only.
COPY --from=runtime /venv /venv
COPY --from=project /project /venv
# What numba compiles for this kind of processor; a container takes a copy, as numba must be able to write there.
RUN NUMBA_CACHE_DIR=/var/cache/numba /venv/bin/python -m detector --compile
# SAFEPATH: `python -m` must not import from the working directory, which is writable.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    CIRCLES_DATA_DIR=/tmp/circles \
    NUMBA_CACHE_DIR=/tmp/numba \
    READY_FILE=/tmp/ready
USER circles
WORKDIR /tmp
CMD ["circles", "--help"]
