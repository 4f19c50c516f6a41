"""The relay: from a request on the wire to a call on its way through the gateway."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from server.api.answer import Answers
from server.api.cors import Cors
from server.api.http import answer_headers, check_content, error_headers, lines
from server.api.inbound import Inbound
from server.auth.keys import ANONYMOUS, KeyRing
from server.call import Call, Key
from server.config import Server
from server.errors import GatewayError, MethodNotAllowed
from server.gateway import Gateway, as_gateway_error
from server.telemetry.refusals import Refusals
from server.telemetry.trace_context import trace_id_of
from server.telemetry.tracing import Tracer

Made = Callable[[Call | Exception], None]
NewCall = Callable[[bytes, Key, str, Made], Call | None]


def at_once(new_call: Callable[[bytes, Key, str], Call]) -> NewCall:
    """Of what needs nothing but the request."""
    return lambda body, key, request_id, made: new_call(body, key, request_id)


class Relay:
    """One endpoint. `new_call(body, key, request_id, made)` parses and validates; it raises `GatewayError`. Where
    something has to be looked up first it gives None, and `made` hears later. `answers` in another shape than OpenAI's.
    """

    def __init__(
        self,
        endpoint: str,
        new_call: NewCall,
        gateway: Gateway,
        keys: KeyRing,
        settings: Server,
        refusals: Refusals,
        tracer: Tracer,
        answers: Answers | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._answers = answers or Answers()
        self._new_call = new_call
        self._gateway = gateway
        self._keys = keys
        self._refusals = refusals
        self._tracer = tracer
        self._cors = Cors(settings.cors_origins)
        self._grace_s = settings.first_event_grace_s
        self.max_body_bytes = settings.max_body_bytes
        self.silence_s = settings.client_timeout_s

    def head(self, request: Inbound) -> None:
        """Refuse by the head what need not be read."""
        try:
            if request.method != b"POST":
                raise MethodNotAllowed(f"This path takes POST, not {request.method.decode('ascii', 'replace')}.")
            request.key = self._keys.authenticate(request.headers, partial(self._authenticated, request))
            if request.key is None:
                request.waiting = True
            else:
                check_content(request.headers, self.max_body_bytes)
        except Exception as error:
            self.refuse(request, error)

    def _authenticated(self, request: Inbound, key: Key | GatewayError) -> None:
        """Whose key it is was not to be known at once; now it is."""
        if request.response_complete:
            return
        try:
            if isinstance(key, GatewayError):
                raise key
            check_content(request.headers, self.max_body_bytes)
        except GatewayError as error:
            self.refuse(request, error)
        else:
            request.key = key
            request.go_on()

    def serve(self, request: Inbound, body: bytes) -> None:
        request.started = perf_counter()
        try:
            call = self._new_call(body, request.key or ANONYMOUS, request.id, partial(self._made, request))
        except Exception as error:
            self.refuse(request, error)
            return
        if call is not None:
            self._send(request, call)

    def _made(self, request: Inbound, call: Call | Exception) -> None:
        """What the call needed was looked up."""
        if request.response_complete:
            return
        if isinstance(call, Exception):
            self.refuse(request, call)
        else:
            self._send(request, call)

    def _send(self, request: Inbound, call: Call) -> None:
        call.received = request.started
        call.client_request_id = request.client_id
        call.trace = self._tracer.begin(request.headers.get(b"traceparent"))
        origin = request.headers.get(b"origin")
        cors = b"" if origin is None else self._cors.lines(origin)
        self._answers.start(self._gateway, call, request, cors, self.silence_s, self._grace_s)

    def refuse(self, request: Inbound, error: Exception) -> None:
        """Answer a request that did not become a call."""
        known = as_gateway_error(error, request.id, trace_id_of(request.headers.get(b"traceparent")))
        if known.close:
            request.keep_alive = False
        head = answer_headers(request.id, request.client_id, request.started) + lines(error_headers(known))
        if isinstance(known, MethodNotAllowed):
            head += b"allow: POST\r\n"
        head += self._cors.lines(request.headers.get(b"origin")) + self._answers.head(request.id)
        request.answer(known.status, head, self._answers.error_body(known, request.id))
        self._count(request, known.status, known.outcome)

    def left(self, request: Inbound) -> None:
        """The client has gone before its request was complete."""
        self._count(request, 499, "client_gone")

    def _count(self, request: Inbound, status: int, outcome: str) -> None:
        trace_id = trace_id_of(request.headers.get(b"traceparent"))
        self._refusals.note(request.id, self._endpoint, status, outcome, perf_counter() - request.started, trace_id)
