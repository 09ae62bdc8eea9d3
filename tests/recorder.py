"""A server on loopback that takes uploads as the Hub does and remembers them."""

import base64
import hashlib
import http.server
import json
import threading
import time


class RecordedHub(http.server.ThreadingHTTPServer):
    """One repository, which is there already where it is given files for `main`.

    `kept`: {revision: {path: bytes}}; `seen`: every request's path and authorization; `sent`: {path: bodies};
    `created`: what `create_repo` posted. With `refusal`, an HTTP status, every request is refused, and the answer has
    the token in it. Files whose names end with `large` go by LFS: their content is in `blobs`, {SHA-256: bytes}, once
    for each time that it was uploaded in `uploads`. While `most` blobs are there, no other one gets an answer.
    """

    def __init__(self, repository, main=(), refusal=None, large=(), most=None):
        super().__init__(("127.0.0.1", 0), Recorder)
        self.repository, self.kept, self.seen = repository, {"main": dict(main)}, []
        self.exists, self.refusal, self.sent = bool(main), refusal, {}
        self.large, self.most, self.blobs, self.uploads, self.lock = tuple(large), most, {}, [], threading.Lock()
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
            return self.answer({"files": [self.mode_of(file["path"], self.kept[revision]) for file in posted(body)]})
        if self.path.endswith("/info/lfs/objects/batch"):
            places = [self.place_of(wanted) for wanted in json.loads(body)["objects"]]
            return self.answer({"transfer": "basic", "objects": places})
        if "/commit/" in self.path:
            self.commit(self.kept[revision], [json.loads(line) for line in body.splitlines()])
        name = self.server.repository
        url = f"{self.server.address}/{name}"
        self.answer(
            {"url": url, "name": name, "repo_id": name, "commitUrl": f"{url}/commit/{'0' * 40}", "commitOid": "0" * 40},
            409 if self.path == "/api/repos/create" and self.server.exists else 200,
        )

    def mode_of(self, path, there):
        mode = "lfs" if path.endswith(self.server.large) else "regular"
        oid = {"oid": git_digest(there[path])} if path in there else {}
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, **oid}

    def place_of(self, wanted):
        """Where a blob goes; nowhere if it is there."""
        if wanted["oid"] in self.server.blobs:
            return wanted
        return wanted | {"actions": {"upload": {"href": f"{self.server.address}/blobs/{wanted['oid']}"}}}

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers.get("Authorization")))
        with self.server.lock:
            stalls = self.server.most is not None and len(self.server.blobs) >= self.server.most
            if not stalls:
                oid = hashlib.sha256(body).hexdigest()
                assert self.path == f"/blobs/{oid}"
                self.server.blobs[oid] = body
                self.server.uploads.append(oid)
        while stalls:  # until the client is dead
            time.sleep(1)
        self.answer({})

    def commit(self, files, lines):
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.server.blobs[line["value"]["oid"]]
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


def git_digest(content):
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def posted(body):
    return json.loads(body)["files"]
