"""A launcher for scripts that a command starts: each becomes a fork with its libraries imported, see `forks`.

`ForkLauncher().command` goes where a person gives `python` or `accelerate launch`, and `python` where torchrun wants a
program. The process that is then started only waits for its fork, passes its words and its status on, and takes it with
it when it is killed.
"""

import json
import select
import shlex
import socket
import sys
import tempfile
import threading
from pathlib import Path

import forks

CLIENT = """
import json, os, socket, sys
place, *words = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as server:
    server.connect(place)
    asked = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    server.sendall(json.dumps(asked).encode() + b"\\n")
    answer = json.loads(server.makefile().readline())
print(answer["words"])
sys.exit(answer["status"])
"""


class ForkLauncher:
    """Attributes: command, python: see above. started: the flags of every script that was started, in order."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        place, client = Path(self.folder.name, "socket"), Path(self.folder.name, "client.py")
        client.write_text(CLIENT)
        self.command = shlex.join([sys.executable, "-S", "-E", str(client), str(place)])
        self.python = Path(self.folder.name, "python")
        self.python.write_text(f'#!/bin/sh\n[ "$1" = -u ] && shift\nexec {self.command} "$@"\n')
        self.python.chmod(0o755)
        self.started, self.server = [], socket.socket(socket.AF_UNIX)
        self.server.bind(str(place))
        self.server.listen()
        forks.context()  # here, because the threads below must not start it twice
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self.server.accept()
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection):
        with connection, connection.makefile("r") as lines:
            asked = json.loads(lines.readline())
            script, *flags = asked["words"]
            self.started.append(flags)
            environment = asked["environment"] | {"ACCELERATE_USE_CPU": "true"}
            fork = forks.Script(script, flags, asked["folder"], **environment)
            ended, _, _ = select.select([fork.process.sentinel, connection], [], [])
            if connection in ended:  # the waiting process is dead
                fork.kill()
                return
            done = fork.finish()
            answer = {"words": done.stdout + done.stderr, "status": done.returncode}
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def folders(self):
        """`NAME/seed-N` of every run that was started."""
        outputs = [Path(flags[flags.index("--output-dir") + 1]) for flags in self.started]
        return [f"{output.parent.name}/{output.name}" for output in outputs]
