# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's endpoint without kernel and hosts, as a process of its own: it changes moto's classes for good.

It waits for lines of JSON on its standard input, and forks for each an endpoint that is fresh: to import moto and the
lab takes seconds. It answers with the endpoint's port and its process, which is the caller's to end.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.api.lab import Lab
from lab.api.limits import Buckets
from lab.api.server import Control, application, listener
from lab.api.vpn import managed
from lab.names import Names
from lab.net.desired import Desired

BROKEN = "172.29.0.0/16"  # a VPC that the data plane cannot make; no other test may have one like it


class Plane:
    """Takes what is desired, unless it holds the VPC that breaks it."""

    propagation = (0.0, 0.0)

    def start(self) -> None:
        pass

    def apply(self, desired: Desired) -> None:
        if BROKEN in desired.vpcs:
            raise OSError("the kernel refuses")

    def apply_table(self, table: str, routes: Any) -> None:
        pass

    def boot(self, instance: str) -> str:
        return f"/run/netns/{instance}"

    def forget(self, instance: str) -> None:
        pass


class Hosts:
    """Hosts that boot, stop and end at once."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}

    def start(self, host_id: str, *, prepare: Callable[[], str], **_: Any) -> None:
        prepare()
        self.states[host_id] = "running"

    def stop(self, host_id: str, graceful: bool) -> None:
        self.states[host_id] = "stopped"

    def reboot(self, host_id: str) -> None:
        pass

    def destroy(self, host_id: str) -> None:
        self.states.pop(host_id, None)

    def state(self, host_id: str) -> str:
        return self.states.get(host_id, "absent")


def tunnels(lab: Lab, up: Path) -> None:
    """Goes on saying of managed tunnels that they are up: those that the file names, and all that were replaced."""
    caller = os.getppid()
    while os.getppid() == caller:
        named = up.read_text().split() if up.exists() else []
        with lab.lock:
            for connection in managed(lab.backend):
                for tunnel in connection.managed.tunnels:
                    tunnel.say(tunnel.outside in named or tunnel.replaced > 0)
        time.sleep(0.1)
    os._exit(0)  # who has asked for it is gone


def serve(directory: Path, refill: bool) -> None:
    """Serve on a free port of 127.0.0.1, and print it."""
    lab = Lab(Names("apitest", directory, 4000), Hosts(), Plane())  # type: ignore[arg-type]
    if not refill:  # what is throttled does not depend on this machine's speed
        lab.buckets = Buckets(clock=lambda: 0.0)
    server = listener(("127.0.0.1", 0), Control(lab, application(lab)))
    lab.start()
    threading.Thread(target=tunnels, args=(lab, directory / "up"), daemon=True).start()
    server.prepare()
    print(server.bind_addr[1], os.getpid(), flush=True)
    server.serve()


def main() -> None:
    """Fork an endpoint for each line, until there are no more."""
    for warm in ("cheroot.wsgi", "moto.ec2.models"):
        importlib.import_module(warm)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that have ended leave nothing behind
    for line in sys.stdin:
        wanted = json.loads(line)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(Path(wanted["directory"]), wanted["refill"])


if __name__ == "__main__":
    main()
