"""The Prometheus listener: its own port, in the parent process, over the files that the workers write.

It serves /status too, for `portico status`.
"""

from __future__ import annotations

import gzip
import hmac
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as plain
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of  # pyright: ignore[reportUnknownVariableType]

from server.telemetry import families
from server.telemetry.exemplars import NO_EXEMPLARS, read_exemplars
from server.telemetry.slots import SlotFiles
from server.telemetry.status import read_status
from server.telemetry.text import OPENMETRICS, PROMETHEUS, TextFormat

Environ = dict[str, Any]
openmetrics = cast(Callable[[CollectorRegistry], bytes], openmetrics_of)  # with the line that ends this format
StartResponse = Callable[..., Any]


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds that a scraper may be silent

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""


class _Server(WSGIServer):
    address_family = socket.AF_INET


class MetricsListener:
    """One scrape at a time: a scraper that stalls delays scrapes, never the service.

    `registry` has what the parent itself knows; `folder` what its workers do.
    """

    def __init__(self, folder: Path, listener: socket.socket, token: str | None, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._slots = SlotFiles(folder)
        self._format = TextFormat(families.ALL)
        self._folder = folder
        self._token = token
        self._server = _Server(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.server_name, self._server.server_port = "metrics", listener.getsockname()[1]
        self._server.setup_environ()
        self._server.set_app(self._serve)
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _serve(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] not in ("/metrics", "/", "/status"):
            start("404 Not Found", [("content-type", "text/plain")])
            return [b"The metrics are at /metrics, the state of things at /status.\n"]
        given = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
            start("401 Unauthorized", [("content-type", "text/plain"), ("www-authenticate", "Bearer")])
            return [b"Send 'Authorization: Bearer TOKEN' with the token of metrics.token.\n"]
        if environ["PATH_INFO"] == "/status":
            start("200 OK", [("content-type", "application/json")])
            return [read_status(self._folder)]
        kind, body = self._scrape(modern="application/openmetrics-text" in environ.get("HTTP_ACCEPT", ""))
        headers = [("content-type", kind)]
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            headers.append(("content-encoding", "gzip"))
            body = gzip.compress(body, 1)
        start("200 OK", headers)
        return [body]

    def _scrape(self, *, modern: bool) -> tuple[str, bytes]:
        exemplars = read_exemplars(self._folder) if modern else NO_EXEMPLARS
        lines = self._format.lines(self._slots.totals(), openmetrics=modern, exemplars=exemplars)
        own: bytes = (
            openmetrics(self._registry) if modern else plain(self._registry)
        )  # with the end that OpenMetrics wants
        return OPENMETRICS if modern else PROMETHEUS, "\n".join((*lines, "")).encode() + own
