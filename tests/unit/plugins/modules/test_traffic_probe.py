# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module traffic_probe refuses bad input in one sentence, before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.modules import traffic_probe


def parameters(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "p", "state": "started", "targets": [{"address": "127.0.0.1", "responder_port": None}],
        "interval_ms": 10.0, "max_seconds": 5, "timeout_ms": 1000.0, "windows": [], "optional_responders": False,
        "steady_seconds": None, "steady_since": 0.0, "steady_timeout": 1.0, "directory": str(tmp_path / "records"),
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"name": "../x"}, "'../x' is no name for a probe"),
        ({"name": ""}, "'' is no name for a probe"),
        ({"targets": []}, "targets is empty"),
        ({"targets": [{"address": "hq.example"}]}, "hq.example in targets is no IPv4 address"),
        ({"targets": [{"address": "192.0.2.1", "responder_port": 70000}]}, "responder_port of 192.0.2.1 is 70000"),
        ({"targets": [{"address": "192.0.2.1"}] * 2}, "stands in targets twice"),
        ({"interval_ms": 0.1}, "interval_ms is 0.1; choose from 1 to 1000"),
        ({"max_seconds": 0}, "max_seconds is 0; choose from 1 to 3600"),
        ({"state": "collected"}, "no traffic probe named p on this host"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(tmp_path: Path, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(VpnhaError, match=sentence.replace("(", r"\(")):
        traffic_probe.run(parameters(tmp_path, **more), check_mode=False)
    assert not (tmp_path / "records").exists()


def test_check_mode_starts_nothing(tmp_path: Path) -> None:
    assert traffic_probe.run(parameters(tmp_path), check_mode=True) == {"changed": True}
    assert not (tmp_path / "records").exists()


def test_ending_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert traffic_probe.run(parameters(tmp_path, state="absent"), check_mode=False) == {"changed": False}
    assert traffic_probe.run(parameters(tmp_path, state="stopped"), check_mode=False) == {"changed": False}
