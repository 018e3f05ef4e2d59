"""A server on loopback that means harm: what it does with a request is what a test gives it."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HostileServer:
    """Serves while it is a context.

    Args:
        behave: called with the handler of each request, `asked` being the request's JSON.

    Attributes:
        requests: (method, path, headers) of each request that came.
        sent: bytes of bodies that were sent.
    """

    def __init__(self, behave):
        self.requests, self.sent = [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers.get("Content-Length", 0))
                self.asked = json.loads(self.rfile.read(length) or b"null")
                outer.requests.append((self.command, self.path, dict(self.headers)))
                self.close_connection = True
                # The client may have hung up.
                with contextlib.suppress(OSError):
                    behave(self)

            def answer(self, body, status=200, **headers):
                self.head(status, **{"Content_Length": len(body), **headers})
                self.body(body)

            def head(self, status=200, **headers):
                self.send_response(status)
                for name, value in {"Connection": "close", **headers}.items():
                    self.send_header(name.replace("_", "-"), str(value))
                self.end_headers()

            def body(self, part):
                self.wfile.write(part)
                outer.sent += len(part)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.host}/v1"

    def __enter__(self):
        serve = lambda: self._server.serve_forever(poll_interval=0.01)  # noqa: E731
        threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def completion(text=" yes", **changes):
    """A body that is an answer."""
    choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": None, **changes}
    return json.dumps({"id": "x", "object": "text_completion", "choices": [choice]}).encode()


def endless(handler, status=200, **headers):
    """A body without end, as fast as it is taken."""
    handler.head(status, Content_Type="application/json", **headers)
    while True:
        handler.body(b" " * (1 << 16))


def dripping(handler, seconds=0.02):
    """A good answer, of which a byte comes now and then."""
    handler.head(Content_Length=len(completion()))
    for byte in completion():
        handler.body(bytes([byte]))
        handler.wfile.flush()
        time.sleep(seconds)


def dripping_head(handler, seconds=0.02):
    """Headers without end, of which a byte comes now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"a")
        handler.wfile.flush()
        time.sleep(seconds)


def endless_continue(handler):
    """Interim answers without end, as fast as they are taken."""
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def silent(handler):
    """Nothing."""
    time.sleep(5)
