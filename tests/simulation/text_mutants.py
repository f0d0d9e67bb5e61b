# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bugs planted in the text of what the simulation does not play: the daemon's threads, modules, the data plane.

Each is planted in a copy of the code, and a unit test named with it must fail there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("plugins", "roles", "lab", "tests")
FAILED = 1  # pytest's exit code when tests ran and some failed
ENGINE = "plugins/module_utils"
DAEMON = "roles/monitor/files/vpnha_monitor"
TEMPLATES = "roles/gateway/templates"
DATA_PLANE = "tests/unit/gateway/test_dataplane.py"
FILTER = f"{DATA_PLANE}::test_20_the_filter_drops_what_would_leave_another_way_before_it_accepts_anything"
FILTER6 = f"{DATA_PLANE}::test_20_the_filter_drops_what_of_ipv6_would_leave_another_way_before_it_accepts_anything"
CLEAR = "oifname != { {{ devices }} } counter name plaintext drop\n"
TO_A_SITE = f"{{% if sites %}}\n\t\tip daddr {{ {{{{ sites }}}} }} {CLEAR}"
TO_A_SITE_6 = f"{{% endif %}}\n{{% if sites6 %}}\n\t\tip6 daddr {{ {{{{ sites6 }}}} }} {CLEAR}"


@dataclass(frozen=True)
class TextMutant:
    """A planted bug, and the test that finds it."""

    name: str
    invariants: tuple[int, ...]
    file: str
    text: str  # which must be there once
    instead: str
    test: str


TAKES_HOME = """\
        if destination in have:
            worker.change(
                subject, "", "", "replace_route",
                RouteTableId=table["RouteTableId"],
                **target_argument(ways.usual[1]), **destination_argument(destination),
            )
"""

TEXT_MUTANTS = (
    TextMutant(
        "a monitor that stops tries again", (18,), f"{DAEMON}/actuator.py",
        "return not self._stopped.is_set() and self._tokens(deadline, count) and not self._stopped.is_set()",
        "return self._tokens(deadline, count)",
        "tests/unit/monitor/test_rooms.py::test_18_a_monitor_that_stops_ends_the_call_in_flight_and_begins_no_other",
    ),
    TextMutant(
        "a monitor that stops lets the call in flight go", (18,), f"{DAEMON}/actuator.py",
        "future.result(max(0.0, until - time.monotonic()))", "future.result(0.0)",
        "tests/unit/monitor/test_rooms.py::test_18_a_monitor_that_stops_ends_the_call_in_flight_and_begins_no_other",
    ),
    TextMutant(
        "a monitor that stops repairs all the same", (18,), f"{DAEMON}/actuator.py",
        'return "The monitor stops."', 'return ""',
        "tests/unit/monitor/test_repairing.py::test_18_a_monitor_that_stops_begins_no_call",
    ),
    TextMutant(
        "a repair has no deadline", (7,), f"{DAEMON}/actuator.py", "if self._clock() > until:", "if False:",
        "tests/unit/monitor/test_repairing.py::test_7_nothing_of_a_repair_is_begun_long_after_its_order",
    ),
    TextMutant(
        "a repair goes on without the lease", (16,), f"{DAEMON}/agreement.py",
        "has_it = age is not None and age <= lease.SECONDS - owners.LEAST", "has_it = True",
        "tests/unit/monitor/test_agreement.py::test_16_a_repair_is_not_gone_on_with_without_the_lease",
    ),
    TextMutant(
        "what is forwarded to a site may leave in clear", (20,), f"{TEMPLATES}/firewall.nft.j2",
        f"\tchain forward {{\n{TO_A_SITE}", "\tchain forward {\n{% if sites %}\n", FILTER,
    ),
    TextMutant(
        "what comes from a site in clear is taken", (20,), f"{TEMPLATES}/firewall.nft.j2",
        "\t\tip saddr { {{ sites }} } iifname != { {{ devices }} } counter name plaintext drop\n", "", FILTER,
    ),
    TextMutant(
        "what a gateway itself sends to a site may leave in clear", (20,), f"{TEMPLATES}/firewall.nft.j2",
        f"\tchain output {{\n{TO_A_SITE}", "\tchain output {\n{% if sites %}\n", FILTER,
    ),
    TextMutant(
        "what of IPv6 a gateway itself sends to a site may leave in clear", (20,), f"{TEMPLATES}/firewall.nft.j2",
        f"{TO_A_SITE}{TO_A_SITE_6}", f"{TO_A_SITE}{{% endif %}}\n{{% if sites6 %}}\n", FILTER6,
    ),
    TextMutant(
        "what comes from a site in clear by IPv6 is taken", (20,), f"{TEMPLATES}/firewall.nft.j2",
        "\t\tip6 saddr { {{ sites6 }} } iifname != { {{ devices }} } counter name plaintext drop\n", "", FILTER6,
    ),
    TextMutant(
        "the kernel has no route of last resort", (20,), f"{TEMPLATES}/dataplane.sh.j2",
        "ip route replace blackhole {{ prefix }} metric $last\n", ":\n",
        f"{DATA_PLANE}::test_20_what_no_tunnel_takes_ends_in_a_blackhole_of_the_kernels",
    ),
    TextMutant(
        "a probe may go another way", (20,), f"{TEMPLATES}/dataplane.sh.j2",
        '{{ ip }} route replace blackhole default table "${rule{{ table }}}" metric $last', ":",
        f"{DATA_PLANE}::test_20_a_probe_goes_through_its_own_tunnel_or_nowhere",
    ),
    TextMutant(
        "a probe of IPv6 may go another way", (20,), f"{TEMPLATES}/frr.conf.j2",
        "ipv6 route ::/0 {{ tunnel.device }} table {{ tunnel.table }}\n", "!\n",
        f"{DATA_PLANE}::test_20_a_probe_of_ipv6_goes_through_its_own_tunnel_or_nowhere",
    ),
    TextMutant(
        "a next hop of IPv6 may be behind the default route", (20,), f"{TEMPLATES}/frr.conf.j2",
        "no ipv6 nht resolve-via-default\n", "ipv6 nht resolve-via-default\n",
        f"{DATA_PLANE}::test_20_ipv6_has_blackholes_of_the_kernels_and_of_frrs_too",
    ),
    TextMutant(
        "a next hop may be behind the default route", (20,), f"{TEMPLATES}/frr.conf.j2",
        "no ip nht resolve-via-default\n", "ip nht resolve-via-default\n",
        f"{DATA_PLANE}::test_20_frr_has_a_blackhole_of_its_own_and_resolves_nothing_through_a_default_route",
    ),
    TextMutant(
        "FRR has no route of last resort", (20,), f"{TEMPLATES}/frr.conf.j2",
        "ip route {{ prefix }} blackhole 250\n", "!\n",
        f"{DATA_PLANE}::test_20_frr_has_a_blackhole_of_its_own_and_resolves_nothing_through_a_default_route",
    ),
    TextMutant(
        "a deploy takes its routes home", (21,), f"{ENGINE}/network_build.py",
        "        if destination in have:\n", TAKES_HOME,
        "tests/unit/ec2/test_network.py::test_while_failed_over_nothing_is_moved",
    ),
    TextMutant(
        "a manual failover is not pinned", (21,), f"{ENGINE}/manual_swap.py",
        "        pins.set(view)\n", "        if not swaps:\n            pins.set(view)\n",
        "tests/unit/ec2/test_manual_swap.py::test_away_pinned_and_home_again",
    ),
    TextMutant(
        "a manual swap moves what somebody has pinned", (21,), f"{ENGINE}/routes.py",
        "pin.expires_wall > wall and not choice.over_pins", "pin.expires_wall > wall and False",
        "tests/unit/ec2/test_manual_swap.py::test_a_pin_holds_against_a_swap_without_one",
    ),
)  # fmt: skip


def hunt(mutant: TextMutant) -> tuple[bool, str]:
    """Whether the test finds the bug, and what it said."""
    with tempfile.TemporaryDirectory(prefix="vpnha-mutant-") as directory:
        copy = Path(directory)
        plant(mutant, copy)
        paths = [".build/collections", ".", "roles/monitor/files", "roles/gateway/files"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(copy / path) for path in paths),
            "ANSIBLE_COLLECTIONS_PATH": str(copy / paths[0]),
        }
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test],
            cwd=copy, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    said = re.findall(r"^E +(.+)", done.stdout, re.MULTILINE)
    found = f"{mutant.test.rpartition('::')[2]}: {said[0] if said else done.stdout[-200:]}"
    return done.returncode == FAILED, found


def plant(mutant: TextMutant, copy: Path) -> None:
    """Make a copy of the code with the bug in it, and of what Python has compiled of the rest."""
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("output"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    home = copy / ".build/collections/ansible_collections/vpnha"
    home.mkdir(parents=True)
    (home / "aws").symlink_to(copy)
    place = copy / mutant.file
    text = place.read_text(encoding="utf-8")
    if text.count(mutant.text) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} should have this once: {mutant.text}")
    place.write_text(text.replace(mutant.text, mutant.instead), encoding="utf-8")
    for compiled in (place.parent / "__pycache__").glob(f"{place.stem}.*"):
        compiled.unlink()
