"""Engines as processes, and a server that forwards requests to one with changes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

SECONDS_TO_START = 300

VLLM = (
    *("-m", "vllm.entrypoints.openai.api_server", "--dtype", "float32", "--enforce-eager"),
    *("--max-model-len", "512", "--max-num-seqs", "16", "--generation-config", "vllm"),
)
WORDS = [f"{a}{b}" for a in ("fox", "tax", "box", "mix", "wax") for b in range(200)]
TARGETS = [
    "tilt(contains('x'), 1)",
    f"tilt(phrase({', '.join(map(repr, WORDS))}), 3)",
    "tilt(contains('e'), -2)",
]
"""A tilt, a list of 1,000 phrases, and another tilt, for requests that share a batch."""

LLAMA_CPP = ("-m", "llama_cpp.server", "--n_ctx", "512", "--logits_all", "true")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def engine(log, *arguments):
    """An engine that serves; what it writes goes to a file. Yields its address."""
    port = free_port()
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, *map(str, arguments), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as written:
        process = subprocess.Popen(
            command, stdout=written, stderr=written, env=environment, start_new_session=True
        )
        try:
            _await(f"http://127.0.0.1:{port}/v1/models", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await(url, process, log):
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(1)
    raise RuntimeError(f"the engine did not start:\n{log.read_text()[-3000:]}")


def post(url, **asked):
    """Status and JSON of a request."""
    data = json.dumps(asked).encode()
    request = urllib.request.Request(
        f"{url}/completions", data, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def post_together(url, requests):
    """Answers to requests that are sent at once."""
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda asked: post(url, **asked)[1], requests))


@contextmanager
def changing(url, **changes):
    """A server that sends requests on with changes. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = post(url, **{**asked, **changes})
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
