"""A real S3 API: moto's server, which can check signatures and hang, behind a door that can be shut."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import boto3  # type: ignore[import-untyped]
import httpx
import orjson

from deploy.local.ports import free_ports
from tests.integration.flow import wait_until


@contextmanager
def s3_server() -> Iterator[tuple[str, int]]:
    """The URL of a server without buckets that believes everyone, and its process id."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/moto-api/").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers)
        yield url, server.pid
    finally:
        server.kill()
        server.wait()


@dataclass(frozen=True)
class Keys:
    """Which a server knows; a role's have a token."""

    key_id: str
    secret: str
    token: str = ""


_ALL_OF_IT = {"Effect": "Allow", "Action": "*", "Resource": "*"}
ANYTHING = orjson.dumps({"Version": "2012-10-17", "Statement": [_ALL_OF_IT]}).decode()


def only_believe_one(url: str) -> Keys:
    """From now on requests are checked: they have to be signed by this user, who may do anything."""
    iam = _client("iam", url, Keys("any", "any"))
    iam.create_user(UserName="view")
    keys = iam.create_access_key(UserName="view")["AccessKey"]
    iam.put_user_policy(UserName="view", PolicyName="anything", PolicyDocument=ANYTHING)
    assert httpx.post(f"{url}/moto-api/reset-auth", content=b"0", timeout=60).status_code == 200
    return Keys(keys["AccessKeyId"], keys["SecretAccessKey"])


def assume(url: str, keys: Keys, role: str) -> Keys:
    """Those of a new role that may do anything, too."""
    iam, sts = (_client(service, url, keys) for service in ("iam", "sts"))
    made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=ANYTHING)["Role"]
    iam.put_role_policy(RoleName=role, PolicyName="anything", PolicyDocument=ANYTHING)
    its = sts.assume_role(RoleArn=made["Arn"], RoleSessionName="test")["Credentials"]
    return Keys(its["AccessKeyId"], its["SecretAccessKey"], its["SessionToken"])


def forget(url: str, keys: Keys, role: str) -> None:
    """Let its keys be worth nothing."""
    _client("iam", url, keys).delete_role_policy(RoleName=role, PolicyName="anything")


def _client(service: str, url: str, keys: Keys) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1",
        aws_access_key_id=keys.key_id, aws_secret_access_key=keys.secret,
    )  # fmt: skip


class Role:
    """What AWS gives a container its role's keys by: an HTTP server on loopback."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        role = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                facts = {
                    "AccessKeyId": role.keys.key_id, "SecretAccessKey": role.keys.secret,
                    "Token": role.keys.token, "Expiration": "2100-01-01T00:00:00Z",
                }  # fmt: skip
                body = orjson.dumps(facts)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that hangs while the block runs: it is connected to, and does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Door:
    """A way to a server on this machine. Shut, it cuts whoever is in it and lets nobody in."""

    def __init__(self, port: int) -> None:
        self._inside, self._listening = port, socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.entered = 0
        self._sockets: set[socket.socket] = set()
        self._start(self._let_in)

    def shut(self) -> None:
        for each in (self._listening, *self._sockets):
            _end(each)

    def open(self) -> None:
        """Again, where it was."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._start(self._let_in)

    def _let_in(self) -> None:
        with suppress(OSError):  # it was shut
            while True:
                guest, _ = self._listening.accept()
                self.entered += 1
                inside = socket.create_connection(("127.0.0.1", self._inside))
                self._sockets |= {guest, inside}
                self._start(partial(self._carry, guest, inside))
                self._start(partial(self._carry, inside, guest))

    def _carry(self, giving: socket.socket, taking: socket.socket) -> None:
        with suppress(OSError):
            while data := giving.recv(65_536):
                taking.sendall(data)
        for each in (giving, taking):
            _end(each)
            self._sockets.discard(each)

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it; to close alone does not
    each.close()
