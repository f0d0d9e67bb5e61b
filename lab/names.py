# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How everything that the lab makes is called, so that two labs live side by side and ``down`` finds it all again.

The name has neither dash nor dot: ``<name>-`` and ``<name>.`` are then prefixes that no other lab's names share.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[a-z][a-z0-9]{0,9}")


class Names:
    """Where one lab's state lies and how its namespaces, cgroups and ports are called.

    ``name``: prefix of all kernel objects; ``dir``: state directory (absolute), shared by all labs for images and
    the ssh key; ``port``: first of the TCP ports on 127.0.0.1.
    """

    def __init__(self, name: str, directory: Path, port: int) -> None:
        if not _NAME.fullmatch(name):
            raise LabError(
                f"VPNHA_LAB_NAME is {name!r}: use 1 to 10 lower-case letters and digits, beginning with a letter."
            )
        if not 1024 <= port <= 65000:
            raise LabError(f"VPNHA_LAB_PORT is {port}: use a port from 1024 to 65000.")
        self.name = name
        self.dir = directory
        self.port = port

    @classmethod
    def from_env(cls) -> Names:
        """The lab that VPNHA_LAB_NAME, VPNHA_LAB_DIR and VPNHA_LAB_PORT speak of. Raises LabError on bad values."""
        port = os.environ.get("VPNHA_LAB_PORT") or "4566"
        if not port.isdecimal():
            raise LabError(f"VPNHA_LAB_PORT is {port!r}: use a port number such as 4566.")
        directory = os.environ.get("VPNHA_LAB_DIR")
        return cls(
            os.environ.get("VPNHA_LAB_NAME") or "vpnha",
            Path(directory).absolute() if directory else REPOSITORY / ".lab",
            int(port),
        )

    def environment(self) -> dict[str, str]:
        """The variables by which a child process finds the same lab."""
        return {"VPNHA_LAB_NAME": self.name, "VPNHA_LAB_DIR": str(self.dir), "VPNHA_LAB_PORT": str(self.port)}

    # --- Files -------------------------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """All of this lab's files; removed by ``down``."""
        return self.dir / self.name

    @property
    def registry(self) -> Path:
        """One JSON file per host that can be reached by name: see lab/registry.py."""
        return self.state / "hosts"

    @property
    def machines(self) -> Path:
        """One directory per host: its disk (overlay) and what is needed to boot it again."""
        return self.state / "machines"

    @property
    def run(self) -> Path:
        """Pid files, faults, captures in progress."""
        return self.state / "run"

    @property
    def deployment(self) -> Path:
        """What this lab's deployment has otherwise than the shipped one; there only if ``up`` was told so."""
        return self.state / "deployment.yml"

    @property
    def logs(self) -> Path:
        """Logs of daemons and hosts; outlive ``down``, so that a failure can be looked at."""
        return self.dir / "logs" / self.name

    @property
    def images(self) -> Path:
        """Images by content hash, shared by all labs of this directory; survive ``down``."""
        return self.dir / "images"

    @property
    def key(self) -> Path:
        """The private ssh key that every host admits."""
        return self.dir / "key"

    # --- Kernel objects ----------------------------------------------------------------------------------

    def netns(self, what: str) -> str:
        """The name of a network namespace, such as ``vpnha-internet``."""
        return f"{self.name}-{what}"

    def netns_path(self, what: str) -> str:
        """The path under which that namespace is mounted."""
        return f"/run/netns/{self.netns(what)}"

    def cgroup(self, what: str) -> str:
        """The name of a cgroup, such as ``vpnha.daemons``; see lab/cgroups.py."""
        return f"{self.name}.{what}"

    # --- Ports on 127.0.0.1 ------------------------------------------------------------------------------

    @property
    def endpoint_port(self) -> int:
        """Where microburst listens for the controller: ``AWS_ENDPOINT_URL``."""
        return self.port

    @property
    def api_port(self) -> int:
        """Where the API server itself listens, behind microburst."""
        return self.port + 1
