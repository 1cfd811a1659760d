"""A server on this machine that speaks the hub's protocol as far as huggingface_hub asks."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubServer(ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        repositories: Name -> revision -> file name -> content; ``main`` is the newest.
        blobs: Uploaded large files by their SHA-256.
        asked: Method and path of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, name: str, files: dict[str, bytes]) -> str:
        """Commit files, and return the revision."""
        revisions = self.repositories.setdefault(name, {})
        content = {**revisions.get("main", {}), **files}
        digest = hashlib.sha1(repr(sorted(content.items())).encode()).hexdigest()
        revisions[digest] = revisions["main"] = content
        return digest


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Serve from a thread until the block ends."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def _body(self) -> bytes:
        self.server.asked.append(f"{self.command} {self.path}")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self._body()
        owner, name, kind, revision, file = [*self.path.strip("/").split("/", 4), *[""] * 5][:5]
        revisions = self.server.repositories.get(f"{owner}/{name}")
        if kind != "resolve" or revisions is None:
            self._answer(404, X_Error_Code="RepoNotFound")
        elif revision not in revisions:
            self._answer(404, X_Error_Code="RevisionNotFound")
        elif file not in revisions[revision]:
            self._answer(404, X_Error_Code="EntryNotFound")
        else:
            content = revisions[revision][file]
            commit = next(x for x, files in revisions.items() if x != "main" and files is revisions[revision])
            etag = hashlib.sha256(content).hexdigest()
            self._answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=commit)

    def do_PUT(self) -> None:
        content = self._body()
        self.server.blobs[hashlib.sha256(content).hexdigest()] = content
        self._answer(200)

    def do_POST(self) -> None:
        body, path = self._body(), self.path.strip("/")
        if path == "api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            self.server.repositories.setdefault(name, {})
            self._json({"url": f"{self.server.address}/{name}"})
        elif path.endswith("/objects/batch"):
            objects = [
                {**x, "actions": {"upload": {"href": f"{self.server.address}/lfs/{x['oid']}"}}}
                for x in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif "/preupload/" in path:
            files = [x["path"] for x in json.loads(body)["files"]]
            modes = {True: "lfs", False: "regular"}
            self._json({"files": [_mode(x, modes[x.endswith(".safetensors")]) for x in files]})
        elif "/commit/" in path:
            name = path.removeprefix("api/models/").partition("/commit/")[0]
            commit = self.server.add(name, dict(self._committed(body)))
            self._json({"commitUrl": f"{self.server.address}/{name}/commit/{commit}", "commitOid": commit})
        else:
            self._json({})

    def _committed(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                yield value["path"], base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                yield value["path"], self.server.blobs[value["oid"]]


def _mode(path: str, mode: str) -> dict[str, object]:
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}
