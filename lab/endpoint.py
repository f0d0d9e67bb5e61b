# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The EC2 endpoint's processes: the API server, and the microburst proxies in front of it that inject API faults."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lab import procs, setns
from lab.errors import LabError
from lab.names import Names
from lab.net import underlay

Side = Literal["controller", "hosts"]
SIDES: tuple[Side, Side] = ("controller", "hosts")
HOSTS_PORT = 4566
REGION = "eu-central-1"


def controller_url(names: Names) -> str:
    """Where the controller finds EC2: ``AWS_ENDPOINT_URL``."""
    return f"http://127.0.0.1:{names.endpoint_port}"


def client(names: Names, service: str) -> Any:
    """A client of one of its services, past the proxies: no fault of the API is in force there."""
    import boto3
    from botocore.config import Config

    make: Any = boto3.client  # its overloads know literal service names only
    return make(
        service,
        endpoint_url=f"http://127.0.0.1:{names.api_port}",
        region_name=REGION,
        aws_access_key_id="lab",
        aws_secret_access_key="lab",
        config=Config(proxies={}),  # none of the environment's
    )


def ready(names: Names) -> bool:
    """Whether the API server is there and warm."""
    try:
        return bool(_ask(_server(names, "ready"))["ready"])
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False


def serving(names: Names) -> bool:
    """Whether the API server's process is alive."""
    return procs.running(_pid(names, "api")) is not None


def start_server(names: Names) -> None:
    """Start the API server; see ``wait``."""
    argv = [sys.executable, "-m", "lab.api.server"]
    procs.detach(names, argv, log=names.logs / "api.log", pid_file=_pid(names, "api"))


def wait(names: Names, timeout: float = 180.0) -> None:
    """Wait until the API server is warm. Raises LabError when it ends or takes too long."""
    end = time.monotonic() + timeout
    while not ready(names):
        if not serving(names) or time.monotonic() > end:
            log = names.logs / "api.log"
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
            raise LabError(f"The EC2 endpoint {'is not ready' if serving(names) else 'ended'} ({log}): {said[-1]}")
        time.sleep(0.1)


def start_proxies(names: Names) -> None:
    """Start the proxies that are not running, and wait until they answer. Raises LabError when one does not."""
    for side in SIDES:
        pid_file = _pid(names, f"microburst-{side}")
        if procs.running(pid_file) is None:
            address, port = _listen(names, side)
            procs.detach(
                names,
                [sys.executable, "-m", "microburst", "--no-resign", "--upstream", f"http://127.0.0.1:{names.api_port}",
                 "--host", address, "--port", str(port)],
                log=names.logs / f"microburst-{side}.log",
                pid_file=pid_file,
                netns=underlay.name(names) if side == "hosts" else None,
            )  # fmt: skip
    end = time.monotonic() + 60.0
    for side in SIDES:
        while not _proxy_answers(names, side):
            if procs.running(_pid(names, f"microburst-{side}")) is None or time.monotonic() > end:
                log = names.logs / f"microburst-{side}.log"
                raise LabError(f"The proxy in front of the EC2 endpoint does not start: the reason is in {log}.")
            time.sleep(0.05)


def set_rules(names: Names, side: Side, rules: Sequence[Mapping[str, Any]]) -> None:
    """Let one proxy have just these rules of microburst. Raises LabError when it refuses them or is not there."""
    try:
        _proxy(names, side, "rules", "POST", list(rules))
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"The proxy for {side} before the EC2 endpoint did not take the fault: {error}.") from None


def instances(names: Names) -> list[dict[str, Any]]:
    """The endpoint's instances: see lab/api/server.py. Raises LabError when it does not answer."""
    return list(_lab(names, "instances"))


def calls(names: Names, since: float) -> list[dict[str, Any]]:
    """The calls of EC2 answered from then on (seconds since the epoch): see lab/api/calls.py. Raises LabError."""
    return list(_lab(names, f"calls?since={since!r}"))


def fired(names: Names, side: Side, since: float) -> list[dict[str, Any]]:
    """The requests of one side that a proxy has delayed or broken from then on. Raises LabError."""
    try:
        return list(_proxy(names, side, f"fired?limit=10000&since={since!r}", "GET"))
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"The proxy for {side} before the EC2 endpoint does not answer: {error}.") from None


def settings(names: Names, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The endpoint's settings, after ``changes``. Raises LabError with the endpoint's own sentence."""
    return dict(_lab(names, "settings", changes))


def _lab(names: Names, what: str, changes: Mapping[str, Any] | None = None) -> Any:
    url = _server(names, what)
    try:
        return _ask(url) if changes is None else _ask(url, "PATCH", changes)
    except urllib.error.HTTPError as error:
        raise LabError(json.loads(error.read())["error"]) from None
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"The EC2 endpoint does not answer ({error}): run `python -m lab up`.") from None


def _server(names: Names, what: str) -> str:
    return f"http://127.0.0.1:{names.api_port}/_lab/{what}"


def _pid(names: Names, what: str) -> Path:
    return names.run / f"{what}.pid"


def _listen(names: Names, side: Side) -> tuple[str, int]:
    return ("127.0.0.1", names.endpoint_port) if side == "controller" else (underlay.ENDPOINT, HOSTS_PORT)


def _proxy_answers(names: Names, side: Side) -> bool:
    try:
        return bool(_proxy(names, side, "health", "GET")["status"] == "ok")
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False


def _proxy(names: Names, side: Side, what: str, method: str, body: Any = None) -> Any:
    address, port = _listen(names, side)
    url = f"http://{address}:{port}/_microburst/{what}"
    if side == "controller":
        return _ask(url, method, body)
    return setns.inside(underlay.name(names), lambda: _ask(url, method, body))


def _ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy of the environment
    with opener.open(request, timeout=5) as answer:
        return json.load(answer)
