"""A server on loopback that takes uploads as the Hub does and remembers them."""

import base64
import http.server
import json
import threading


class RecordedHub(http.server.ThreadingHTTPServer):
    """One repository, which is there already where it is given files for `main`.

    `kept`: {revision: {path: bytes}}; `seen`: every request's path and authorization; `sent`: {path: bodies};
    `created`: what `create_repo` posted. With `refusal`, an HTTP status, every request is refused, and the answer has
    the token in it.
    """

    def __init__(self, repository, main=(), refusal=None):
        super().__init__(("127.0.0.1", 0), Recorder)
        self.repository, self.kept, self.seen = repository, {"main": dict(main)}, []
        self.exists, self.refusal, self.sent = bool(main), refusal, {}
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def created(self):
        return [json.loads(body) for body in self.sent.get("/api/repos/create", [])]


class Recorder(http.server.BaseHTTPRequestHandler):
    """As much of the Hub's API as an upload needs: it keeps {revision: {path: bytes}} and every request."""

    def setup(self):
        super().setup()
        self.kept, self.seen = self.server.kept, self.server.seen

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, self.headers.get("Authorization")))
        self.server.sent.setdefault(self.path, []).append(body)
        if self.server.refusal:
            return self.refuse()
        revision = self.path.split("?")[0].rpartition("/")[2]
        if "/branch/" in self.path:
            self.kept.setdefault(revision, dict(self.kept["main"]))
        if "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in posted(body)]
            return self.answer({"files": files})
        if "/commit/" in self.path:
            self.commit(self.kept[revision], [json.loads(line) for line in body.splitlines()])
        name = self.server.repository
        url = f"{self.server.address}/{name}"
        self.answer(
            {"url": url, "name": name, "repo_id": name, "commitUrl": f"{url}/commit/{'0' * 40}", "commitOid": "0" * 40},
            409 if self.path == "/api/repos/create" and self.server.exists else 200,
        )

    def commit(self, files, lines):
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]

    def refuse(self):
        self.answer({"error": f"{self.headers.get('Authorization')} may not do that"}, self.server.refusal)

    def do_GET(self):
        self.seen.append((self.path, self.headers.get("Authorization")))
        if self.server.refusal:
            return self.refuse()
        files = self.kept["main"]
        if "/tree/" in self.path:
            return self.answer([{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in files])
        self.answer(
            {"id": self.server.repository, "sha": "0" * 40, "siblings": [{"rfilename": path} for path in files]}
        )

    def answer(self, content, status=200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


def posted(body):
    return json.loads(body)["files"]
