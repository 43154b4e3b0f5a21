# One image for every service of docker-compose.yml: the same versions everywhere.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python3 -m venv /opt/gradgrid
ENV PATH=/opt/gradgrid/bin:$PATH
# What gradgrid needs first: this layer stays as long as the versions do.
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    print(*p['dependencies'], *p['optional-dependencies']['cluster'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r requirements.txt 'setuptools>=77'
COPY README.md LICENSE ./
COPY engine engine
COPY experiments experiments
COPY service service
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && pip uninstall --yes --quiet pip setuptools \
    && find /opt/gradgrid -name tests -type d -path '*-packages/*' -prune -exec rm -rf {} +

FROM python:3.11-slim
RUN useradd --uid 1000 --create-home gradgrid && install -d -o gradgrid -g gradgrid /artifacts
COPY --from=build /opt/gradgrid /opt/gradgrid
COPY docker/ /opt/gradgrid/docker/
ENV PATH=/opt/gradgrid/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    RAY_USAGE_STATS_ENABLED=0
USER gradgrid
WORKDIR /home/gradgrid
CMD ["gradgrid", "--help"]
