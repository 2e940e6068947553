#!/usr/bin/env python3
"""Metrics of a run, with the programs of others: promtool, a Prometheus server, curl's protocol.

    metrics.py [SCENE...]    without a scene all of them
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
from backing_rig import BOUNDS, Live, expect_right
from harness import ROOT, Problem, require

STEPS = ("fill", "check", "wait", "check")
NEEDED = ("prometheus", "promtool")
DASHBOARD = ROOT / "contrib" / "grafana" / "uzswap.json"
NOBODY = 65534
SERVICE_UNAVAILABLE = 503
CLIENTS = 1000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def run(folder: Path, target: str) -> Iterator[Live]:
    """A program that waits, after it has written more than its limit."""
    options = [*BOUNDS.options(folder), "--metrics", target]
    with Live(folder, options, BOUNDS.pages(*STEPS)) as it:
        it.await_line("waiting")
        yield it
        it.say()
        expect_right(it.end())


def fetch(url: str, accept: str = "*/*") -> tuple[str, str]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with without_proxy.open(request, timeout=harness.END_S) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def fetch_unix(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(harness.END_S)
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: uzswap\r\n\r\n")
        answer = b""
        while part := client.recv(65536):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    require(head.startswith("HTTP/1.1 200 OK"), f"the answer was {head!r}")
    return body


def sample(text: str, name: str) -> float:
    found = re.search(rf"^uzswap_{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
    if not found:
        raise Problem(f"uzswap_{name} is missing")
    return float(found.group(1))


def expect_lint(text: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    require(done.returncode == 0 and not told.strip(), f"promtool: {told[:600]}")


def ask_prometheus(port: int, query: str) -> list[dict[str, object]]:
    words = urllib.parse.urlencode({"query": query})
    try:
        _, text = fetch(f"http://127.0.0.1:{port}/api/v1/query?{words}")
    except urllib.error.HTTPError as error:
        if error.code == SERVICE_UNAVAILABLE:
            return []  # it is starting
        raise Problem(f"{query}: {error.read().decode()[:300]}") from error
    except (urllib.error.URLError, ConnectionError):
        return []  # it has not started
    result = json.loads(text)["data"]["result"]
    assert isinstance(result, list)
    return result


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[int]:
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: uzswap, static_configs: [{{targets: ['{target}']}}]}}\n"
    )
    port = free_port()
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "prometheus.log").open("wb"),
    )
    try:
        yield port
    finally:
        ended = server.poll()
        server.terminate()
        server.wait(harness.END_S)
        log = (folder / "prometheus.log").read_text()
        require(ended is None, f"Prometheus ended with {ended}: {log[-600:]}")


def dashboard_queries() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def scraped(folder: Path) -> str:
    """A Prometheus server reads the figures; each query of the dashboard has an answer."""
    target = f"127.0.0.1:{free_port()}"
    with run(folder, target) as it, prometheus(folder, target) as port:
        harness.wait_until(
            "a scrape", lambda: bool(ask_prometheus(port, "uzswap_stored_pages > 0"))
        )
        require(bool(ask_prometheus(port, "up == 1")), "the target is down")
        limit = ask_prometheus(port, "uzswap_limit_bytes")[0]
        require(limit["value"][1] == str(BOUNDS.limit), f"the limit is {limit}")
        require(limit["metric"]["command"] == "python3", f"the labels are {limit['metric']}")
        require(limit["metric"]["run"] == str(it.process.pid), f"the labels are {limit['metric']}")
        queries = [
            query.replace("$__rate_interval", "1m").replace("$run", ".*")
            for query in dashboard_queries()
        ]
        for query in queries:
            harness.wait_until(query, lambda: bool(ask_prometheus(port, query)))  # noqa: B023
        kind, _ = fetch(f"http://{target}/metrics", "application/openmetrics-text")
        require(kind.startswith("application/openmetrics-text"), f"the type is {kind}")
    return f"{len(queries)} queries of the dashboard"


def linted(folder: Path) -> str:
    """promtool finds nothing, and the figures are those of the statistics."""
    target = f"127.0.0.1:{free_port()}"
    with run(folder, target) as it:
        kind, text = fetch(f"http://{target}/metrics")
        require(kind.startswith("text/plain; version=0.0.4"), f"the type is {kind}")
        expect_lint(text)
        stored = it.await_figure("zswpwb", lambda pages: pages > 0)
        later = fetch(f"http://{target}/metrics")[1]
        require(sample(later, "zswpwb_total") >= stored, "a counter is behind the statistics")
        require(sample(later, "limit_bytes") == BOUNDS.limit, "the limit is another one")
        require(sample(later, "fault_seconds_count") > 0, "the histogram is empty")
        for query in dashboard_queries():
            for name in re.findall(r"uzswap_(\w+?)(?:_bucket|_sum|_count)?\b", query):
                require(f"uzswap_{name}" in text, f"the dashboard asks for uzswap_{name}")
    return f"{len(text.splitlines())} lines"


def unix_socket(folder: Path) -> str:
    """Only the user of the run may ask; a thousand clients and silent ones do no harm."""
    path = folder / "metrics.sock"
    with run(folder, f"unix:{path}"):
        require(path.stat().st_mode & 0o777 == 0o600, "the mode of the socket")
        expect_lint(fetch_unix(path))
        if os.geteuid() == 0:
            folder.chmod(0o755)
            path.chmod(0o666)  # the credentials of the client are checked all the same
            ask = "import socket as s, sys; c = s.socket(s.AF_UNIX); c.connect(sys.argv[1]);"
            ask += " c.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print(len(c.recv(99)))"
            done = subprocess.run(
                [sys.executable, "-c", ask, str(path)],
                capture_output=True,
                text=True,
                check=False,
                user=NOBODY,
                group=NOBODY,
                timeout=harness.END_S,
            )
            told = done.stdout.strip() or done.stderr[-300:]
            reset = "ConnectionResetError" in told or "BrokenPipeError" in told
            require(told == "0" or reset, f"another user was told {told}")
        silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for client in silent:
            client.connect(str(path))
        for _ in range(CLIENTS):
            fetch_unix(path)
        for client in silent:
            client.close()
    require(not path.exists(), "the socket was left")
    return f"{CLIENTS} clients beside 20 silent ones"


def textfile(folder: Path) -> str:
    """A file for node_exporter is there while the run lasts."""
    path = folder / "uzswap.prom"
    with run(folder, str(path)) as it:
        before = sample(path.read_text(), "run_seconds_total")
        harness.wait_until(
            "a newer file", lambda: sample(path.read_text(), "run_seconds_total") > before
        )
        expect_lint(path.read_text())
        it.await_figure("zswpwb", lambda pages: pages > 0)
    require(not path.exists(), "the file was left")
    return "written again and removed"


def refusals(folder: Path) -> str:
    """What cannot be used is named, and the command does not start."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = {
            "metrics": "is neither",
            "127.0.0.1:99999": "no port",
            "example.org:80": "a host name is not looked up",
            f"127.0.0.1:{taken.getsockname()[1]}": "Address already in use",
            "unix:/no/such/folder/a.sock": "No such file",
            str(folder): "Is a directory",
            "/dev/null": "not a regular file",
        }
        for target, expected in cases.items():
            command = [harness.bin_folder() / "uzswap", "run", "--limit", "64M"]
            done = subprocess.run(
                [*command, "--metrics", target, "--", "echo", "started"],
                capture_output=True,
                text=True,
                check=False,
            )
            require(done.returncode == 125, f"{target}: status {done.returncode}")
            require("started" not in done.stdout, f"{target}: the command was started")
            require(expected in done.stderr, f"{target}: {done.stderr}")
            require("fix:" in done.stderr, f"{target}: no fix: {done.stderr}")
    return f"{len(cases)} refusals"


SCENES: dict[str, Callable[[Path], str]] = {
    "scraped": scraped,
    "linted": linted,
    "unix-socket": unix_socket,
    "textfile": textfile,
    "refusals": refusals,
}


def main() -> int:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        harness.skip(f"there is no {', '.join(missing)}")
    harness.require_machine()
    return harness.run_scenes(SCENES, sys.argv[1:])


if __name__ == "__main__":
    harness.exit_with(main)
