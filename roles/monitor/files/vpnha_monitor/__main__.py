# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's command: ``python -m vpnha_monitor --config FILE``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError

from . import config, daemon

EXIT_CONFIG = 78  # sysexits' EX_CONFIG: a restart would not help


def main() -> int:
    """Run until told to stop; the process's exit code."""
    parser = argparse.ArgumentParser(prog="vpnha_monitor", description="Watch a deployment's gateways and swap routes.")
    parser.add_argument("--config", type=Path, default=config.DEFAULT_PATH, help="configuration (%(default)s)")
    path: Path = parser.parse_args().config
    try:
        loaded = config.load(path)
    except DescriptionError as error:
        print("\n".join(error.sentences), file=sys.stderr)
        return EXIT_CONFIG
    try:
        return daemon.run(loaded, path)
    except daemon.StartError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
