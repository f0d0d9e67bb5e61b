# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab's EC2: the backend, the data plane and the hosts behind it, and the lock under which they change together."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lab.api import endpoints, imds, mends, prefix_lists, vpn, vpn_mends
from lab.api.actions import Stale
from lab.api.alarms import Alarms
from lab.api.calls import Calls
from lab.api.limits import Buckets, Settings
from lab.api.machines import AMIS, HostsLike, Machines
from lab.api.vpn_metrics import Metrics
from lab.names import Names
from lab.net.desired import desired, table_routes
from lab.net.kernel import Kernel

if TYPE_CHECKING:
    from lab.managed import ManagedVpn

Answer = tuple[int, dict[str, str], Any]  # HTTP status, headers, body

ACCOUNT = "123456789012"
REGION = "eu-central-1"


class Lab:
    """Everything behind the endpoint. Reads take no lock; a mutation holds ``lock`` until its packets follow it."""

    def __init__(
        self, names: Names, hosts: HostsLike, kernel: Kernel | None = None, managed: ManagedVpn | None = None
    ) -> None:
        """``kernel``: another data plane than the kernel's, for tests of the API alone. ``managed``: managed VPN's."""
        self.names = names
        self.lock = threading.RLock()
        self.settings = Settings()
        self.buckets = Buckets()
        self.stale = Stale()
        self.calls = Calls()
        self.alarms = Alarms(ACCOUNT, REGION)
        self.done: dict[
            tuple[str, str], tuple[str, tuple[int, dict[str, str], Any]]
        ] = {}  # (action, client token) -> request, answer
        self.credentials = imds.Credentials(ACCOUNT, REGION, lambda: self.settings.credential_seconds)
        self.imds = imds.Imds(names, lambda eni: imds.tree(self.backend, ACCOUNT, eni, self.credentials))
        self.kernel = kernel or Kernel(names, opened=self.imds.open, closed=self.imds.close)
        self.managed = managed
        self.metrics = Metrics(self.settings, lambda: self.backend, lambda: self.alarms.backend)
        self.machines = Machines(names, hosts, self.kernel, self.lock, self.sync)

    def start(self) -> None:
        """Mend moto, start the data plane, and put the lab's images there."""
        vpn_mends.apply()
        prefix_lists.apply()
        endpoints.apply()
        mends.apply(self._status, self._events)
        self.kernel.start()
        with self.lock:
            for ami, image in AMIS.items():
                _register(self.backend, ami, image)
            self.sync()
        self.alarms.start()
        self.metrics.start()

    @property
    def backend(self) -> Any:
        """moto's EC2 of the lab's region."""
        from moto.ec2.models import ec2_backends

        return ec2_backends[ACCOUNT][REGION]

    def sync(self) -> None:
        """Make the data plane what the backend says."""
        self.kernel.apply(desired(self.backend, self.machines.powered()))
        if self.managed is not None:
            self.managed.apply(vpn.wanted(self.backend))
        self.machines.register()

    def sync_table(self, table_id: str) -> None:
        """The same for one route table, where nothing else can have changed."""
        table = self.backend.route_tables.get(table_id)
        if table is not None:
            self.kernel.apply_table(table_id, table_routes(self.backend, table))

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running. Raises ValueError with one sentence."""
        with self.lock:
            self.settings.update(changes)
            self.kernel.propagation = self.settings.route_propagation
            self.stale.seconds = self.settings.stale_reads
            if "credential_seconds" in changes:
                self.credentials.forget()
            if "blackholes" in changes:
                for eni in self.backend.enis.values():
                    eni.blackhole = eni.id in self.settings.blackholes
                self.sync()

    def _events(self, instance: Any) -> list[dict[str, Any]]:
        at = self.settings.retiring.get(instance.id)
        if at is None:
            return []
        said = "The instance is running on degraded hardware"
        return [{"Code": "instance-retirement", "Description": said, "NotBefore": datetime.fromtimestamp(at, UTC)}]

    def _status(self, instance: Any, which: str) -> str:
        if self.settings.impaired.get(instance.id) == which:
            return "impaired"
        found = self.machines.status(instance.id)
        return "ok" if which == "system" and found == "impaired" else found


def _register(backend: Any, ami_id: str, image: str) -> None:
    from moto.ec2.models.amis import Ami

    backend.amis[ami_id] = Ami(
        backend,
        ami_id=ami_id,
        name=f"vpnha-{image}",
        description=f"The lab's {image} image",
        virtualization_type="hvm",
        architecture="x86_64",
        public=True,
        root_device_type="ebs",
        region_name=f"{REGION}a",
    )
