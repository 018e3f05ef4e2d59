"""A /v1/completions on loopback, whose answers a test gives, with faults by turns."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class CompletionsServer:
    """Serves while it is a context; what it answers is `choice`.

    Args:
        faults: by turns: a status, ``"truncated"``, None, or what `choice` knows.
    """

    def __init__(self, faults=()):
        outer, lock = self, threading.Lock()
        self.requests = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                number, outer.requests = outer.requests, outer.requests + 1
                fault = faults[number % len(faults)] if faults else None
                fault = outer.refusal(asked) or fault
                if isinstance(fault, int):
                    self.send_response(fault)
                    self.send_header("Retry-After", "0")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                with lock:
                    choice = outer.choice(asked, number, fault)
                body = {
                    "id": "x",
                    "object": "text_completion",
                    "created": 0,
                    "model": asked["model"],
                    "choices": [{"index": 0, **choice}],
                    "usage": outer.usage(asked, choice),
                }
                sent = json.dumps(body).encode()
                if fault == "truncated":
                    sent = sent[: len(sent) // 2]
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def refusal(self, asked):
        """A status with which such a request is always refused."""

    def choice(self, asked, number, fault):
        """Text, reason to finish and log-probabilities."""
        raise NotImplementedError

    def usage(self, asked, choice):
        """Tokens of prompt and answer by the server's own count; None where it gives none."""

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
