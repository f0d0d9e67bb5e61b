# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m vpnha_agent [--config FILE] [--check]``: the agent's command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError

from .agent import Agent
from .config import DEFAULT_PATH, load

EX_CONFIG = 78


class _Formatter(logging.Formatter):
    """Marks each line's level the way systemd's journal reads it."""

    def format(self, record: logging.LogRecord) -> str:
        level = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        return f"<{level}>{super().format(record)}"


def main() -> int:
    """Run the agent; the exit code."""
    parser = argparse.ArgumentParser(prog="vpnha_agent", description="The agent of a vpnha gateway.")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, help=f"configuration (default: {DEFAULT_PATH})")
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    arguments = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        config = load(arguments.config)
        if not arguments.check:
            asyncio.run(Agent(config).run())
    except DescriptionError as error:
        print("\n".join(error.sentences), file=sys.stderr)
        return EX_CONFIG
    except OSError as error:
        print(f"UDP port {config.port} on {config.listen} cannot be had: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
