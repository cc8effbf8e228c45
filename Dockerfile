# One image for the API, the worker and the migrations.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/srv/holdfast
WORKDIR /srv/holdfast
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY worker.py ./
COPY app ./app
COPY activities ./activities
COPY migrations ./migrations
COPY workflows ./workflows
RUN python -m compileall -q . && useradd --system holdfast
USER holdfast
