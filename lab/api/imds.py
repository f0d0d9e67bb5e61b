# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service (IMDSv2): one socket in each ENI's card, so the asking instance is known by its cable.

Only version 2: a request without a token is answered 401, whatever the instance's metadata options say.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab import setns
from lab.names import Names
from lab.net.cards import IMDS, card

_RENEW = timedelta(minutes=5)  # AWS has new credentials ready so long before the old ones end

Tree = Mapping[str, "Tree | str | Callable[[], str]"]


class Imds:
    """The metadata service of all ENIs of one lab."""

    def __init__(self, names: Names, tree: Callable[[str], Tree | None]) -> None:
        """``tree``: what is served to the instance that holds an ENI (by its id), None if there is none."""
        self._names, self._tree = names, tree
        self._servers: dict[str, _Server] = {}

    def open(self, eni: str) -> None:
        """Serve an ENI whose card has just been made."""
        handle = setns.inside(card(self._names, eni), _listen)
        self._servers[eni] = _started(handle, lambda: self._tree(eni), f"imds-{eni}")

    def close(self, eni: str) -> None:
        """Stop serving an ENI; no error when it is not served."""
        server = self._servers.pop(eni, None)
        if server is not None:
            server.end()


def serve(tree: Callable[[], Tree | None]) -> None:
    """Serve for ever where there is no lab, and this network has the address: one instance, whose tree is asked for."""
    _started(_listen(), tree, "imds")


def _started(handle: socket.socket, tree: Callable[[], Tree | None], name: str) -> _Server:
    server = _Server(handle, tree)
    threading.Thread(target=server.run, name=name, daemon=True).start()
    return server


def _listen() -> socket.socket:
    handle = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    handle.bind((IMDS, 80))
    return handle


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handle: socket.socket, tree: Callable[[], Tree | None]) -> None:
        super().__init__((IMDS, 80), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = handle  # the standard server would bind here, and resolve a name
        self.server_activate()
        self.tree = tree
        self.tokens: dict[str, float] = {}

    def run(self) -> None:
        """Serve until the socket is shut."""
        while True:
            try:
                request, address = self.socket.accept()
            except OSError:
                return
            self.process_request(request, address)

    def end(self) -> None:
        """Stop at once: the standard server's ``shutdown`` would wait for its next poll."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not seconds.isdecimal() or not 1 <= int(seconds) <= 21600:
            self._answer(400)
            return
        token = secrets.token_urlsafe(40)
        now = time.monotonic()
        live = {each: end for each, end in self.server.tokens.items() if end > now}
        self.server.tokens = {**live, token: now + int(seconds)}
        self._answer(200, token, {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": seconds})

    def do_GET(self) -> None:
        if self.server.tokens.get(self.headers.get("X-aws-ec2-metadata-token", ""), 0.0) < time.monotonic():
            self._answer(401)
            return
        found = find(self.server.tree() or {}, self.path)
        self._answer(404 if found is None else 200, found or "")

    def _answer(self, status: int, text: str = "", headers: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for key, value in {"Content-Type": "text/plain", **(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: every agent asks often."""


def find(tree: Tree, path: str) -> str | None:
    """The text under a path: a value, or the listing of what is below; None if there is nothing."""
    node: Tree | str | Callable[[], str] = tree
    for part in [each for each in path.split("/") if each]:
        if isinstance(node, str) or callable(node) or part not in node:
            return None
        node = node[part]
    if isinstance(node, str):
        return node
    if callable(node):
        return node()
    return "\n".join(key if isinstance(below, str) or callable(below) else f"{key}/" for key, below in node.items())


class Credentials:
    """The credentials of instances' roles, made by STS and handed out until shortly before they end."""

    def __init__(self, account: str, region: str, seconds: Callable[[], int]) -> None:
        self._account, self._region, self._seconds = account, region, seconds
        self._held: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Hand out new ones from now on."""
        with self._lock:
            self._held.clear()

    def of(self, instance: str, role: Any) -> str:
        """The JSON that the metadata service shows for an instance's role."""
        from moto.core.utils import utcnow
        from moto.sts.models import sts_backends

        with self._lock:
            session = self._held.get((instance, role.arn))
            if session is None or session.expiration - min(_RENEW, timedelta(seconds=self._seconds() / 2)) < utcnow():
                session = self._held[instance, role.arn] = sts_backends[self._account]["aws"].assume_role(
                    self._region, instance, role.arn, "", self._seconds(), ""
                )
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
                "Type": "AWS-HMAC",
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret_access_key,
                "Token": session.session_token,
                "Expiration": session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )


def tree(backend: Any, account: str, eni_id: str, credentials: Credentials) -> Tree | None:
    """What the metadata service shows to the instance that holds an ENI."""
    eni = backend.enis.get(eni_id)
    instance = eni.instance if eni is not None else None
    if instance is None:
        return None
    zone, region = instance.placement.zone, backend.region_name
    data: dict[str, Tree | str | Callable[[], str]] = {
        "ami-id": instance.image_id,
        "hostname": instance.private_dns_name,
        "instance-id": instance.id,
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": str(instance.private_ip),
        "mac": instance.nics[0].mac_address,
        "network": {"interfaces": {"macs": {nic.mac_address: _interface(nic) for nic in instance.nics.values()}}},
        "placement": {"availability-zone": zone, "region": region},
    }
    if instance.public_ip:
        data["public-ipv4"] = instance.public_ip
    key = backend.key_pairs.get(instance.key_name)
    if key is not None:
        data["public-keys"] = {"0": {"openssh-key": key.public_key}}
    profile = backend.iam_instance_profile_associations.get(instance.id)
    if profile is not None:
        found = profile.iam_instance_profile
        info = {"Code": "Success", "InstanceProfileArn": found.arn, "InstanceProfileId": found.id}
        roles = {role.name: _later(credentials, instance.id, role) for role in found.roles}
        data["iam"] = {"info": json.dumps(info), "security-credentials": roles}
    document = {
        "accountId": account,
        "availabilityZone": zone,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "privateIp": instance.private_ip,
        "region": region,
    }
    latest: dict[str, Tree | str | Callable[[], str]] = {
        "dynamic": {"instance-identity": {"document": json.dumps(document)}},
        "meta-data": data,
    }
    if instance.user_data:
        latest["user-data"] = instance.user_data.decode()
    return {"latest": latest}


def _later(credentials: Credentials, instance: str, role: Any) -> Callable[[], str]:
    return lambda: credentials.of(instance, role)


def _interface(nic: Any) -> dict[str, str]:
    return {
        "device-number": str(nic.device_index),
        "interface-id": nic.id,
        "local-ipv4s": "\n".join(item["PrivateIpAddress"] for item in nic.private_ip_addresses),
        "mac": nic.mac_address,
        "security-group-ids": "\n".join(group.id for group in nic.group_set),
        "subnet-id": nic.subnet.id,
        "subnet-ipv4-cidr-block": nic.subnet.cidr_block,
        "vpc-id": nic.subnet.vpc_id,
    }
