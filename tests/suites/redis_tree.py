"""redis under a limit: all that forks a child which reads all memory, compared with a twin."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
from programs import connect
from redis_client import KnownData, RedisClient

LOADING_S = 600.0 * harness.SLOWNESS


def redis_words(folder: Path, socket: str, port: int = 0, append_only: bool = False) -> list[str]:
    return [
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1"),
        *("--unixsocket", str(folder / socket), "--dir", str(folder), "--save", ""),
        *("--enable-debug-command", "yes", "--appendonly", "yes" if append_only else "no"),
        *("--repl-diskless-sync-delay", "0", "--logfile", str(folder / f"{socket}.log")),
    ]


@contextlib.contextmanager
def server(folder: Path, name: str, append_only: bool = False) -> Iterator[RedisClient]:
    """A server without uzswap in a folder of its own."""
    process = subprocess.Popen(redis_words(folder, f"{name}.sock", append_only=append_only))
    try:
        yield connect(folder / f"{name}.sock", LOADING_S)
    finally:
        process.kill()
        process.wait()


def digest(client: RedisClient) -> str:
    reply = client.call("DEBUG", "DIGEST")
    assert isinstance(reply, bytes)
    return reply.decode()


def info(client: RedisClient, section: str) -> dict[str, str]:
    reply = client.call("INFO", section)
    assert isinstance(reply, bytes)
    lines = (line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
    return dict((name, value) for name, value in lines)


def await_child(client: RedisClient, what: str) -> str:
    """Until the child has ended; returns what the server says of it."""
    running, status = {
        "save": ("rdb_bgsave_in_progress", "rdb_last_bgsave_status"),
        "rewrite": ("aof_rewrite_in_progress", "aof_last_bgrewrite_status"),
    }[what]
    harness.wait_until(what, lambda: info(client, "persistence")[running] == "0", LOADING_S)
    return info(client, "persistence")[status]


def expect(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(f"{what}: {found}, not {expected}")


def loaded_digest(folder: Path, name: str, taken: list[str], append_only: bool = False) -> str:
    """What a fresh server finds in the files `taken`."""
    place = folder / name
    place.mkdir()
    for one in taken:
        (folder / one).rename(place / one)
    with server(place, name, append_only) as client:
        found = digest(client)
    shutil.rmtree(place)
    return found


def kill_child(client: RedisClient) -> None:
    """In the middle of a snapshot."""
    pid = info(client, "server")["process_id"]
    client.call("BGSAVE")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not children:
        raise ValueError("BGSAVE has no child")
    os.kill(int(children[0]), signal.SIGKILL)
    expect("after kill -9 of the child", await_child(client, "save"), "err")


def replica_digest(folder: Path, port: int) -> str:
    place = folder / "replica"
    place.mkdir()
    with server(place, "replica") as client:
        client.call("REPLICAOF", "127.0.0.1", str(port))
        harness.wait_until(
            "the replica",
            lambda: info(client, "replication").get("master_link_status") == "up",
            LOADING_S,
        )
        found = digest(client)
        client.call("REPLICAOF", "NO", "ONE")
    shutil.rmtree(place)
    return found


def play_redis(folder: Path, port: int, data: KnownData) -> str:
    client = connect(folder / "redis.sock", LOADING_S)
    twin_folder = folder / "twin"
    twin_folder.mkdir()
    with server(twin_folder, "twin") as twin:
        for one in (client, twin):
            data.store(one, version=1)
        first = digest(twin)
        expect("as loaded", digest(client), first)
        client.call("BGSAVE")
        data.store(client, version=2, step=3)
        expect("BGSAVE during writes", await_child(client, "save"), "ok")
        data.store(twin, version=2, step=3)
        second = digest(twin)
    expect("the snapshot", loaded_digest(folder, "snapshot", ["dump.rdb"]), first)
    expect("after the writes", digest(client), second)
    client.call("CONFIG", "SET", "appendonly", "yes")
    expect("the rewrite", await_child(client, "rewrite"), "ok")
    client.call("CONFIG", "SET", "appendonly", "no")
    appended = loaded_digest(folder, "appended", ["appendonlydir"], append_only=True)
    expect("the append-only file", appended, second)
    expect("the replica", replica_digest(folder, port), second)
    kill_child(client)
    client.call("DEBUG", "RELOAD")
    expect("after DEBUG RELOAD", digest(client), second)
    client.call("BGSAVE")
    expect("the last BGSAVE", await_child(client, "save"), "ok")
    expect("the last snapshot", loaded_digest(folder, "last", ["dump.rdb"]), second)
    used = int(info(client, "memory")["used_memory_peak"]) >> 20
    with contextlib.suppress(ConnectionError):
        client.call("SHUTDOWN", "NOSAVE")
    return f"{data.keys} keys, {used} MiB by its own count"
