"""Requests by http and https that end: neither silence nor drops of bytes nor a redirection's body hold them up."""

import http.client
import io
import socket
import time
from typing import IO, Any
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

TIMEOUT = 30.0  # seconds of silence
LEAST = 1 << 17  # bytes to come in as much time, once something has come


def ask(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """The answer to a GET request. Redirections are followed to http and https, and nowhere else.

    Raises
    ------
    HTTPError : the status is none of success.
    OSError, http.client.HTTPException, ValueError : there is no such server, or it does not answer as it should;
        TimeoutError among them.
    """
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        UnknownHandler,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
        _Redirect,
        _Http,
        _Https,
    ):
        opener.add_handler(handler())
    response: http.client.HTTPResponse = opener.open(Request(url, headers=headers), timeout=TIMEOUT)
    return response


class _Paced(io.RawIOBase):
    """Bytes from a connection, which gives up when they come too slowly: time-outs only see silence."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._since = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        received = self._raw.readinto(buffer)
        now = time.monotonic()
        if not self._received:
            self._since = now
        self._received += received or 0
        if self._received >= LEAST:
            self._received = 0
        elif received and now - self._since > TIMEOUT:
            raise TimeoutError(f"fewer than {LEAST} bytes in {TIMEOUT:g} s")
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach()))


class _HttpConnection(http.client.HTTPConnection):
    response_class = _Response


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req)


class _Redirect(HTTPRedirectHandler):
    """Goes on without reading what a redirection says beside its address, which may have no end."""

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        fp.close()
        return super().http_error_302(req, io.BytesIO(), code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
