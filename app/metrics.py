"""Prometheus metrics: a registry per process, made by its entry point and handed to what measures."""

from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    start_http_server,
)

from app.security_log import SecurityEvents

CONTENT_TYPE = CONTENT_TYPE_LATEST

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def new_registry() -> CollectorRegistry:
    """A registry that knows the process: memory, CPU, open files, garbage collection, events of security."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(SecurityEvents())
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """All metrics in Prometheus text, of CONTENT_TYPE."""
    return generate_latest(registry)


def serve(registry: CollectorRegistry, port: int, host: str = "127.0.0.1") -> WSGIServer:
    """Serve GET /metrics from a thread of its own until `shutdown()` of what is returned; port 0 takes a free one.

    For processes without an HTTP server. Raises OSError when the port is taken.
    """
    server, _ = start_http_server(port, host, registry)
    return server


class HttpMetrics:
    """The metrics of the HTTP door. Routes are templates, so that there are few: ``/api/v1/workspaces/{…}/credits``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "holdfast_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "holdfast_http_request_seconds",
            "Seconds until the answer began: a stream lasts as long as its reader likes.",
            ("method", "route"),
            registry=registry,
        )

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. A method that is none of HTTP's counts as OTHER: callers choose it freely."""
        method = method if method in _METHODS else "OTHER"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
