# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configures a gateway that has replaced another one, from the bundle that the deploy playbook left for it.

Run at boot on a host that has no configuration yet. The instance's user data names the bundle; without that this is
no replacement, and nothing is done. The bundle lies in Secrets Manager, in as many secrets as it takes; its files are
written one by one, the last one (the agent's configuration) when everything else is in place: a host on which this was
interrupted is not taken for a configured one. It stands alone: the code of the collection is in the bundle.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

METADATA = "http://169.254.169.254"
TRIES, PAUSE = 60, 10.0  # ten minutes; after that a person, or the monitor's next step
CLOUD_CONFIG = "#cloud-config"
MAGIC = b"vpnha1"
SERVICES = ("vpnha-dataplane.service", "frr.service", "strongswan.service", "vpnha-agent.service")


class NotYet(Exception):
    """Something that may be otherwise in a while; the text is one sentence."""


def user_data(fetch: Callable[[urllib.request.Request], bytes]) -> dict[str, str]:
    """What the instance's user data says of its bundle; {} for an instance that no replacement launched."""
    token = fetch(
        urllib.request.Request(
            f"{METADATA}/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        )
    )
    headers = {"X-aws-ec2-metadata-token": token.decode()}
    try:
        text = fetch(urllib.request.Request(f"{METADATA}/latest/user-data", headers=headers)).decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        raise
    head, _newline, rest = text.partition("\n")
    if head.strip() != CLOUD_CONFIG or not rest.lstrip().startswith("{"):
        return {}
    found = json.loads(rest).get("vpnha", {})
    return {str(key): str(value) for key, value in found.items()}


def fetch_bundle(client: Any, name: str) -> bytes:
    """The archive, put together from its secrets. Raises NotYet while they do not belong together."""
    first, count, digest = _part(client, name, 1)
    archive = first
    for number in range(2, count + 1):
        more, _count, its = _part(client, name, number)
        if its != digest:
            raise NotYet(f"The secrets of {name} belong to different bundles: a deploy may be under way.")
        archive += more
    if hashlib.sha256(archive).hexdigest() != digest:
        raise NotYet(f"The secrets of {name} do not make up the bundle that they tell of.")
    return archive


def _part(client: Any, name: str, number: int) -> tuple[bytes, int, str]:
    """The content of one secret, the number of all of them, and the checksum of the whole."""
    value = client.get_secret_value(SecretId=f"{name}/{number}")["SecretBinary"]
    head, _newline, content = bytes(value).partition(b"\n")
    magic, place, digest = head.split(b" ")
    mine, count = place.split(b"/")
    if magic != MAGIC or int(mine) != number:
        raise NotYet(f"The secret {name}/{number} is no part of a bundle.")
    return content, int(count), digest.decode()


def unpack(archive: bytes, root: Path, before_last: Callable[[], None]) -> None:
    """Write the archive's files below ``root``, with owners and modes; call ``before_last`` before the last one."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as tar:
        members = tar.getmembers()
        for place, member in enumerate(members, 1):
            if place == len(members):
                before_last()
            _write(tar, member, root / member.name)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if member.isdir():
        path.mkdir(exist_ok=True)
    else:
        fresh = path.with_name(f".{path.name}.vpnha")
        fresh.unlink(missing_ok=True)
        if member.issym():
            fresh.symlink_to(member.linkname)
        else:
            content = tar.extractfile(member)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content.read() if content is not None else b"")
        fresh.replace(path)
    if not member.issym():
        shutil.chown(path, member.uname, member.gname)
        path.chmod(member.mode)


def run(*command: str, check: bool = True) -> None:
    """Run a command; its output goes to the journal."""
    subprocess.run(command, check=check)


def apply() -> None:
    """Let the services have what was written; the agent's configuration is still missing."""
    run(sys.executable, "-m", "compileall", "-q", "/opt/vpnha/releases")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "systemd-sysctl.service")
    for service in SERVICES:
        run("systemctl", "enable", "--quiet", service)
    for service in SERVICES[:-1]:
        run("systemctl", "restart", service)
    for service in ("ssh.service", "sshd.service"):  # its host keys are the former host's
        run("systemctl", "try-restart", "--quiet", service, check=False)


def attempt() -> str:
    """Configure this host; what was done, in one sentence."""
    import boto3

    told = user_data(_fetch)
    if not told:
        return "This instance was not launched as a replacement: nothing is done."
    missing = sorted({"bundle", "region"} - set(told))
    if missing:
        return f"The user data does not say {' and '.join(missing)}: nothing is done."
    client = boto3.client("secretsmanager", region_name=told["region"], endpoint_url=told.get("endpoint_url") or None)
    archive = fetch_bundle(client, told["bundle"])
    unpack(archive, Path("/"), apply)
    run("systemctl", "restart", SERVICES[-1])
    return f"Configured from {told['bundle']}."


def _fetch(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=5) as answer:
        content: bytes = answer.read()
        return content


def main(
    configure: Callable[[], str] = attempt, tries: int = TRIES, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Try until it succeeds or the tries are used up; each new reason is told once."""
    told = ""
    for left in range(tries - 1, -1, -1):
        try:
            print(configure(), flush=True)
            return 0
        except Exception as error:  # whatever it is, the next try may do better, and there is nobody to ask
            why = f"Not configured yet: {type(error).__name__}: {error}"
            if why != told:
                print(why, file=sys.stderr, flush=True)
            told = why
        if left:
            sleep(PAUSE)
    print(f"This host is not configured after {tries} tries; run the deploy playbook.", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
