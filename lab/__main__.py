# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab``: see ``python -m lab --help``."""

from __future__ import annotations

import sys


def main() -> int:
    """Dispatch ``connect`` before anything heavy is imported, everything else to the command line interface."""
    if len(sys.argv) == 3 and sys.argv[1] == "connect" and not sys.argv[2].startswith("-"):
        from lab.connect import main as connect

        return connect(sys.argv[2])
    from lab.cli import main as cli

    return cli()


if __name__ == "__main__":
    sys.exit(main())
