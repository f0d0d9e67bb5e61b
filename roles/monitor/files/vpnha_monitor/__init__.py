# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor: watches a deployment's gateways and swaps routes when one fails.

Rooms, each in its own module: observe (`heartbeats`, `pings`, `reader`), judge and decide (the engine, called by
`core`), act (`actuator`, `carrying`), record (`journal`, `record`, `metrics`, `status`, `http`). `daemon` joins them.
"""

from pathlib import Path

# The directory of the release that this process has loaded; /opt/vpnha/lib may lead to another one by now.
RELEASE = Path(__file__).resolve().parents[1].name
