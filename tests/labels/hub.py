"""A stand-in for the Hub's API: it makes repositories, checks cards, and takes commits of files."""

import base64
import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import yaml


class Hub(BaseHTTPRequestHandler):
    """What `huggingface_hub` asks for while a folder is uploaded; files beyond 1 kB go by LFS."""

    def do_GET(self):
        """Answer who asks, and what a repository holds."""
        self._answer({"name": "me", "type": "user", "siblings": [], "sha": "0" * 40, "id": "x"})

    def do_PUT(self):
        """Take a large file."""
        content = self._content()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_POST(self):
        """Make a repository, say how files are uploaded, check a card, or take a commit."""
        content, path = self._content(), self.path.split("?")[0]
        if path.endswith("/repos/create"):
            self.server.repositories.append(json.loads(content))
            self._answer({"url": f"{self.server.address}/org/name", "id": "org/name"})
        elif path.endswith("/validate-yaml"):
            self._validate(json.loads(content)["content"])
        elif "/preupload/" in path:
            files = json.loads(content)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] > 1000 else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            self._answer({"files": modes})
        elif path.endswith("/objects/batch"):
            objects = json.loads(content)["objects"]
            to = [
                {**o, "actions": {"upload": {"href": f"{self.server.address}/lfs/{o['oid']}"}}}
                for o in objects
            ]
            self._answer({"transfer": "basic", "objects": to})
        elif "/commit/" in path:
            self._commit([json.loads(line) for line in content.splitlines()])
        else:
            self._answer({"error": path}, 404)

    def _validate(self, card):
        """Check what the Hub checks of a card's front matter that we know of."""
        front = yaml.safe_load(card.split("---\n")[1])
        errors = [] if isinstance(front.get("tags", []), list) else [{"message": "tags"}]
        self.server.cards.append(front)
        self._answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _commit(self, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]
        url = f"{self.server.address}/org/name/commit/{'1' * 40}"
        self._answer({"commitUrl": url, "commitOid": "1" * 40, "success": True})

    def _content(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, data, status=200):
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def running_hub():
    """A hub on a port of its own, with what it was given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.repositories, server.files, server.large, server.cards = [], {}, {}, []
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
