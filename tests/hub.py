"""A loopback server that answers like the model hub for one tiny repository, so that the real client is tested."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa"


def serve(
    files: Mapping[str, bytes],
    repository: str,
    kind: str,
    *,
    branches: Mapping[str, Mapping[str, bytes]] | None = None,
    broken: Collection[str] = (),
) -> AbstractContextManager[str]:
    """A hub that holds files (path in the repository -> content) at COMMIT; kind: "datasets" or "models".

    branches: other revisions by name, each at the commit `commit_of(name)`. broken: paths answered with 500.
    """
    revisions = {"main": (COMMIT, files), COMMIT: (COMMIT, files)}
    for name, others in (branches or {}).items():
        revisions |= dict.fromkeys((name, commit_of(name)), (commit_of(name), others))
    return _running(_handler(revisions, repository, kind, broken))


def commit_of(branch: str) -> str:
    """The commit of another branch that the look-alike serves."""
    return hashlib.sha1(branch.encode()).hexdigest()


def serve_errors(status: int) -> AbstractContextManager[str]:
    """A hub that answers every request with one status."""
    return _running(_broken(status))


def _broken(status: int) -> type[BaseHTTPRequestHandler]:
    class Broken(_Quiet):
        def do_HEAD(self) -> None:
            self.completion(status, b"")

        do_GET = do_POST = do_HEAD

    return Broken


class _Quiet(BaseHTTPRequestHandler):
    """A handler that logs nothing and knows how to answer."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def completion(self, status: int, body: bytes, **headers: str) -> None:
        """Send one whole response; names of headers are written with underscores."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def _running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(
    revisions: Mapping[str, tuple[str, Mapping[str, bytes]]], repository: str, kind: str, broken: Collection[str]
) -> type[BaseHTTPRequestHandler]:
    api = f"/api/{kind}/{repository}"
    # Models live at the root of the hub, data sets under a prefix.
    resolve = f"/{repository}/resolve/" if kind == "models" else f"/{kind}/{repository}/resolve/"

    class Hub(_Quiet):
        def do_HEAD(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith(resolve):
                self.send_file(*self.find(path[len(resolve) :]))
            elif path == api or path.startswith(f"{api}/revision/"):
                commit, files, _ = self.find(path[len(f"{api}/revision/") :] or "main")
                if files is None:
                    self.completion(404, b"{}", X_Error_Code="RevisionNotFound")
                else:
                    siblings = [{"rfilename": name} for name in files]
                    self.send_json({"id": repository, "sha": commit, "siblings": siblings})
            elif path.startswith(f"{api}/tree/"):
                _, files, folder = self.find(path[len(f"{api}/tree/") :])
                self.send_tree(files or {}, folder)
            else:
                self.completion(404, b"{}", X_Error_Code="RepoNotFound")

        do_GET = do_HEAD

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            del self.headers["Content-Length"]
            _, files, _ = self.find(unquote(urlsplit(self.path).path).partition("/paths-info/")[2])
            self.send_json([_entry(name, files[name]) for name in files or () if name in _asked_paths(body)])

        def find(self, place: str) -> tuple[str, Mapping[str, bytes] | None, str]:
            """(commit, its files, the path after it) of REVISION or REVISION/PATH; no files where it is unknown."""
            for revision, (commit, files) in revisions.items():
                if place == revision or place.startswith(f"{revision}/"):
                    return commit, files, place[len(revision) + 1 :]
            return "", None, place.partition("/")[2]

        def send_json(self, value: object) -> None:
            self.completion(200, json.dumps(value).encode(), Content_Type="application/json")

        def send_file(self, commit: str, files: Mapping[str, bytes] | None, name: str) -> None:
            if name in broken:
                self.completion(500, b"")
            elif name not in (files or {}):
                self.completion(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            else:
                self.completion(200, files[name], ETag=f'"{_oid(files[name])}"', X_Repo_Commit=commit)

        def send_tree(self, files: Mapping[str, bytes], folder: str) -> None:
            inside = [name for name in files if not folder or name.startswith(f"{folder}/")]
            if folder and not inside:
                self.completion(404, b"{}", X_Error_Code="EntryNotFound")
                return
            folders = sorted({name.rpartition("/")[0] for name in inside} - {"", folder})
            entries = [{"type": "directory", "path": f, "oid": _oid(f.encode()), "size": 0} for f in folders]
            self.send_json(entries + [_entry(name, files[name]) for name in inside])

    return Hub


def _asked_paths(body: str) -> set[str]:
    """The paths of a paths-info request, sent as JSON or as a form."""
    if body.startswith("{"):
        paths = json.loads(body)["paths"]
        return {paths} if isinstance(paths, str) else set(paths)
    pairs = (part.partition("=") for part in body.split("&"))
    return {unquote(value.replace("+", " ")) for name, _, value in pairs if name == "paths"}


def _entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "oid": _oid(content), "size": len(content)}


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
