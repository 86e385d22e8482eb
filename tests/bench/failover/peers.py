"""The same kill in other systems: what becomes of a thousand tasks when the scheduler or head node dies.

Each runs on namespaces as the mesh does: one host with the scheduler, workers of two slots on four others,
the client on the last one's. A system whose package is not installed is left out and said to be.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from tests.bench.failover.tasks import TASKS, Ran
from tests.mesh_processes import descendants
from tests.netns.lab import Lab, NamespaceHost

WORKERS: Final = 4
KILLED_AFTER_TASKS: Final = 300
START_TIMEOUT_S: Final = 180.0
WATCHED_S: Final = 60.0
"""After the kill: nothing that did not go on until then is counted as going on."""

DASK_CLIENT: Final = """
import json, sys
from distributed import Client, wait
from tests.bench.failover.tasks import noted
path, count, seconds = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
client = Client(sys.argv[1], timeout=60)
client.wait_for_workers(4, timeout=60)
futures = client.map(noted, range(count), [path] * count, pure=False)
print("submitted", flush=True)
try:
    wait(futures, timeout=seconds)
except BaseException as error:  # a cancellation is a BaseException, and how it ends is what is asked
    print(type(error).__name__, error, file=sys.stderr)
states = {}
for future in futures:
    states[future.status] = states.get(future.status, 0) + 1
print(json.dumps(states), flush=True)
import os; os._exit(0)
"""

RAY_CLIENT: Final = """
import json, os, sys
import ray
from tests.bench.failover.tasks import noted
path, count, seconds = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
import time
for attempt in range(40):
    try:
        here = {"_node_ip_address": sys.argv[5], "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(address=sys.argv[1], **here)
        break
    except Exception:  # Ray raises many kinds while its head comes up
        if attempt == 39:
            raise
        ray.shutdown()
        time.sleep(1.0)  # nothing tells when the head is up
while ray.cluster_resources().get("CPU", 0) < 8:
    time.sleep(0.5)  # nor when all workers are there
run = ray.remote(max_retries=-1)(noted)
futures = [run.remote(number, path) for number in range(count)]
print("submitted", flush=True)
states = {"finished": 0, "pending": count, "error": 0}
try:
    done, rest = ray.wait(futures, num_returns=count, timeout=seconds, fetch_local=False)
    states = {"finished": len(done), "pending": len(rest), "error": 0}
except BaseException as error:  # whatever it is, is what is asked
    states["said"] = type(error).__name__
print(json.dumps(states), flush=True)
os._exit(0)
"""

Say = Callable[[str], None]


def dask_kill(say: Say) -> dict[str, Any]:
    """Kill dask's scheduler in the middle of the job and return what became of it."""
    if importlib.util.find_spec("distributed") is None:
        return {"missing": "distributed is not installed"}
    import distributed

    with contextlib.closing(Lab()) as lab:
        hosts = [lab.host() for _ in range(WORKERS + 1)]
        where = f"tcp://{hosts[0].address}:8786"
        quiet = ["--no-dashboard"]
        head = _python(hosts[0], "distributed.cli.dask_scheduler", "--host", hosts[0].address, *quiet)
        for host in hosts[1:]:
            _python(
                host, "distributed.cli.dask_worker", where, "--nthreads", "2", "--host", host.address, *quiet
            )
        found = _kill_in_mid_job(hosts[-1], DASK_CLIENT, [where], lambda: [head.pid])
    say(f"dask.distributed {distributed.__version__}: {found}")
    return {"version": distributed.__version__, **found}


def ray_kill(say: Say) -> dict[str, Any]:
    """Kill the processes of Ray's head node in the middle of the job and return what became of it."""
    if importlib.util.find_spec("ray") is None:
        return {"missing": "ray is not installed: there may be no wheel for this Python"}
    import ray

    with contextlib.closing(Lab()) as lab:
        hosts = [lab.host() for _ in range(WORKERS + 1)]
        where = f"{hosts[0].address}:6379"
        common = ["--disable-usage-stats", "--block", "--object-store-memory", "100000000"]
        first = ["--head", "--port", "6379", "--num-cpus", "0", "--include-dashboard", "false"]
        first += ["--node-ip-address", hosts[0].address, "--temp-dir", str(hosts[0].folder)]
        head = _python(hosts[0], "ray.scripts.scripts", "start", *first, *common)
        _wait_listening(hosts[1], hosts[0].address, 6379)
        for host in hosts[1:]:
            more = ["--address", where, "--num-cpus", "2", "--node-ip-address", host.address]
            _python(host, "ray.scripts.scripts", "start", *more, *common)
        arguments = [where, hosts[-1].address]
        found = _kill_in_mid_job(hosts[-1], RAY_CLIENT, arguments, lambda: [head.pid, *descendants(head.pid)])
    say(f"Ray {ray.__version__}: {found}")
    return {"version": ray.__version__, **found}


def _python(host: NamespaceHost, module: str, *words: str) -> subprocess.Popen[str]:
    """Start a module; its output, which nobody reads, goes nowhere."""
    inside = f'exec {sys.executable} -m {module} "$@" >>log.txt 2>&1'
    environment = {"PYTHONPATH": ":".join(sys.path), "RAY_DEDUP_LOGS": "0", "PYTHONWARNINGS": "ignore"}
    return host.spawn("sh", "-c", inside, "sh", *words, environment=environment)


def _wait_listening(host: NamespaceHost, address: str, port: int) -> None:
    """Wait until a port takes connections from a host; if it never does, whoever connects says why."""
    look = f"import socket; socket.create_connection(({address!r}, {port}), 1).close()"
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        with contextlib.suppress(subprocess.SubprocessError):
            host.run(sys.executable, "-c", look)
            return
        time.sleep(0.5)  # the port is another system's, which tells nobody


def _kill_in_mid_job(
    host: NamespaceHost, client: str, arguments: list[str], doomed: Callable[[], list[int]]
) -> dict[str, Any]:
    path = host.folder / "ran"
    words = [arguments[0], str(path), str(TASKS), str(WATCHED_S), *arguments[1:]]
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONWARNINGS": "ignore"}
    process = host.spawn(sys.executable, "-c", client, *words, environment=environment)
    give_up = time.monotonic() + START_TIMEOUT_S
    while len(Ran(path).begins) < KILLED_AFTER_TASKS:
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            said = (process.communicate()[1].strip().splitlines() or ["it did nothing"])[-1]
            return {"missing": f"it did not start here: {said[-200:]}"}
        time.sleep(0.02)  # a file that tasks of another system write
    killed_at = time.time()
    for pid in doomed():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        out, _ = process.communicate(timeout=WATCHED_S + 60.0)
        states = json.loads(out.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        process.kill()
        process.communicate()
        states = {"no answer": TASKS}
    ran = Ran(path)
    latest = max([moment for moment, _ in ran.begins], default=killed_at)
    return {
        "client_says": states,
        "tasks_ended": len({task for _, task in ran.ends}),
        "last_begin_s": round(latest - killed_at, 3),
        "executions": round(ran.executions_per_task(), 4),
    }
