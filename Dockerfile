# syntax=docker/dockerfile:1.7
#
# core    every stage with the bundled CPU detector; no torch
# gpu     core with Moondream on CUDA
# camera  an RTSP server that plays the bundled clip in a loop, for trials
#
#   docker build --target core -t moonwatch-core .
#   podman build --format docker --target core -t moonwatch-core .     # else no HEALTHCHECK is kept
#
# To pin the base by digest, which also stops its security updates:
#   docker build --build-arg PYTHON=python:3.13-slim-bookworm@sha256:... --target core .
ARG PYTHON=python:3.13-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
WORKDIR /src

# What rarely changes comes first: a change of moonwatch's code does not reinstall these.
FROM build AS core-packages
COPY requirements/core.txt requirements/core.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/moonwatch && \
    /opt/moonwatch/bin/pip install --no-deps -r requirements/core.txt

FROM core-packages AS gpu-packages
# The wheel that PyPI has for Linux holds the CUDA build and brings CUDA's libraries along; the host
# needs nothing but NVIDIA's driver and container toolkit.
ARG TORCH=torch==2.13.0
COPY requirements/gpu.txt requirements/gpu.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/moonwatch/bin/pip install "${TORCH}" && \
    /opt/moonwatch/bin/pip install --no-deps -r requirements/gpu.txt

FROM build AS camera-packages
COPY requirements/camera.txt requirements/camera.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/moonwatch && \
    /opt/moonwatch/bin/pip install --no-deps -r requirements/camera.txt

# The pages of the application; Node stays in this stage.
FROM build AS pages
COPY requirements/pages.txt requirements/pages.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps -r requirements/pages.txt
WORKDIR /src/pipeline/web/ui
COPY pipeline/web/ui .
RUN npm ci --no-audit --no-fund && npm run build

FROM build AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY connectors connectors
COPY --from=pages /src/pipeline/web/static pipeline/web/static
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --no-deps --wheel-dir /dist .

# What all images share: an unprivileged user, a folder for data, and the health check.
FROM ${PYTHON} AS runtime
RUN groupadd --system --gid 10001 moonwatch && \
    useradd --system --uid 10001 --gid moonwatch --home-dir /var/lib/moonwatch moonwatch && \
    install -d -o moonwatch -g moonwatch /var/lib/moonwatch /var/lib/moonwatch/models
ENV PATH=/opt/moonwatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/var/lib/moonwatch/models
WORKDIR /var/lib/moonwatch

FROM runtime AS camera
COPY --from=camera-packages /opt/moonwatch /opt/moonwatch
COPY deploy/rtsp/serve.py /opt/camera/serve.py
COPY configs/media/plaza.mp4 /opt/camera/media/plaza.mp4
USER 10001:10001
EXPOSE 8554
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["python", "/opt/camera/serve.py", "--probe", "127.0.0.1:8554"]
ENTRYPOINT ["python", "/opt/camera/serve.py"]
CMD ["/opt/camera/media", "--listen", "0.0.0.0:8554"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
COPY --from=gpu-packages /opt/moonwatch /opt/moonwatch
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    /opt/moonwatch/bin/pip install --no-deps --no-index --no-cache-dir /dist/*.whl
USER 10001:10001
EXPOSE 9100
# Loading the model takes a while, but a worker answers /healthz as soon as it is alive.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
ENTRYPOINT ["moonwatch"]
CMD ["--help"]

# The last stage is the one that `docker build .` builds.
FROM runtime AS core
COPY --from=core-packages /opt/moonwatch /opt/moonwatch
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    /opt/moonwatch/bin/pip install --no-deps --no-index --no-cache-dir /dist/*.whl
USER 10001:10001
EXPOSE 9100
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
ENTRYPOINT ["moonwatch"]
CMD ["--help"]
