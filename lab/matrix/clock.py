# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another wall clock for one service: all hosts of the lab share this machine's, which stays as it is.

libfaketime is loaded before the service's own libraries; what it says of the wall clock is moved while the service
runs. The monotonic clock is left alone, as when somebody sets a host's clock.
"""

from __future__ import annotations

import base64
from pathlib import Path

from lab.errors import LabError
from lab.matrix.stage import Stage

PACKAGES = {"faketime": "faketime"}  # program -> Debian's package
_LIBRARY = "libfaketime.so.1"
_HERE = "/opt/vpnha-clock"
_OFFSET = f"{_HERE}/offset"


def make_movable(stage: Stage, host: str, unit: str) -> None:
    """Restart a service so that its clock can be moved; undone later. Raises LabError when the library is missing."""
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{_LIBRARY}"))
    if not found:
        raise LabError("libfaketime is missing: install Debian's package faketime.")
    stage.run(host, "mkdir", "-p", _HERE, f"/run/systemd/system/{unit}.service.d")
    library = base64.b64encode(found[0].read_bytes()).decode()
    stage.run(host, "sh", "-c", f"base64 -d >{_HERE}/{_LIBRARY}", stdin=library)
    drop_in = f"/run/systemd/system/{unit}.service.d/clock.conf"
    text = (
        f"[Service]\nEnvironment=LD_PRELOAD={_HERE}/{_LIBRARY} FAKETIME_TIMESTAMP_FILE={_OFFSET} FAKETIME_NO_CACHE=1 "
        "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1\n"
    )

    def own_clock() -> None:
        stage.run(host, "rm", "-f", drop_in)
        stage.run(host, "systemctl", "daemon-reload")
        stage.run(host, "systemctl", "restart", unit)

    move(stage, host, 0)
    stage.undo("the service's own clock", own_clock)
    stage.run(host, "cp", "/dev/stdin", drop_in, stdin=text)
    stage.run(host, "systemctl", "daemon-reload")
    stage.run(host, "systemctl", "restart", unit)


def move(stage: Stage, host: str, seconds: int) -> None:
    """Let the service's wall clock be so much ahead from now on."""
    stage.run(host, "cp", "/dev/stdin", f"{_OFFSET}.new", stdin=f"{seconds:+d}\n")
    stage.run(host, "mv", f"{_OFFSET}.new", _OFFSET)
