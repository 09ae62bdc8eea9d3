"""Scripts in processes of their own, which begin with their libraries imported.

An interpreter needs eight seconds to import torch, transformers and the rest. One does it, multiprocessing's fork
server, and each script runs in a fork of it: with its own arguments, environment, output and exit status, and it can be
killed. At least one test of each script starts it as a person does.
"""

import atexit
import contextlib
import functools
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import connection, forkserver
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARIES = ("finetune", "publish", "transfer", "torchvision", "torch._dynamo", "datasets.config")
LATER = (  # which these import as they run
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "scipy.io",
    "transformers.models.convnextv2.modeling_convnextv2",
    "transformers.models.vit.modeling_vit",
)
SECONDS = 600  # that a script may take, on a machine that is busy


@functools.cache
def context():
    """The fork server, which looks for its modules where pytest does."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([*LIBRARIES, *LATER])
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT / "recipes"), str(ROOT), before.get("PYTHONPATH", "")))
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)
    return forks


class Script:
    """A script that runs; what it prints goes into two files.

    own_group: with all that it starts, it is a group of processes of its own, which `signal_group` reaches.
    """

    def __init__(self, script, flags=(), folder=".", own_group=False, **environment):
        self.words = [str(script), *map(str, flags)]
        self.out, self.err = (tempfile.NamedTemporaryFile("r", suffix=".txt") for _ in range(2))
        environment = {**os.environ, **{name: str(value) for name, value in environment.items()}}
        self.process = context().Process(
            target=become, args=(self.words, folder, own_group, environment, self.out.name, self.err.name)
        )
        self.process.start()

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.is_alive()

    def kill(self):
        self.process.kill()
        return self.finish()

    def signal_group(self, number):
        """Send a signal to the script and to all that it has started, as a terminal and Slurm do."""
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self.pid, number)

    def finish(self):
        """Wait for the end; the finished process as `subprocess.run` has it."""
        self.process.join(SECONDS)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f"no end in {SECONDS} s: {self.words}\n{self.out.read()}\n{self.err.read()}")
        return subprocess.CompletedProcess(self.words, self.process.exitcode, self.out.read(), self.err.read())


def become(words, folder, own_group, environment, out, err):
    """Be the script, from a fork of the server on."""
    if own_group:
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    for number, name in ((1, out), (2, err)):
        file = os.open(name, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for module in ("huggingface_hub.constants", "datasets.config"):  # which read the environment
        importlib.reload(sys.modules[module])
    tempfile.tempdir = None
    sys.argv[:] = words
    sys.path.insert(0, str(Path(words[0]).parent))
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # a script's, which `multiprocessing` leaves out


def run(script, *flags, folder=".", **environment):
    """Run a script to its end."""
    return Script(script, flags, folder, **environment).finish()


def run_two(script, *flags, **environment):
    """Run a script in two processes, see `start_two`; what both print, the first one first.

    Where one of them fails the other is killed.
    """
    started = start_two(script, flags, **environment)
    connection.wait([each.process.sentinel for each in started], SECONDS)
    for one, other in (started, started[::-1]):
        if one.process.exitcode:
            other.process.kill()
    done = [each.finish() for each in started]
    status = next((each.returncode for each in done if each.returncode > 0), done[0].returncode or done[1].returncode)
    printed = ("".join(part) for part in zip(*((each.stdout, each.stderr) for each in done), strict=True))
    return subprocess.CompletedProcess(done[0].args, status, *printed)


def start_two(script, flags=(), folder=".", own_group=False, **environment):
    """A script in two processes that know of each other as torchrun's do.

    The port is never free in between: the store that the processes meet at is this process's, as it is torchrun's.
    """
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment |= {"ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    environment |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": 0}
    environment |= {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    started = [Script(script, flags, folder, own_group, **environment, RANK=rank, LOCAL_RANK=rank) for rank in range(2)]
    started[0].store = store  # lives as long as they do
    return started
