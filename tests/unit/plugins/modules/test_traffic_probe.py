# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module traffic_probe: bad input is refused before anything is started, and what it leaves behind."""

from __future__ import annotations

import os
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
        ({"targets": [{"address": "hq.example"}]}, "hq.example in targets is no IP address"),
        ({"targets": [{"address": "192.0.2.1", "responder_port": 70000}]}, "responder_port of 192.0.2.1 is 70000"),
        ({"targets": [{"address": "192.0.2.1"}] * 2}, "stands in targets twice"),
        ({"targets": [{"address": "2001:db8::1"}, {"address": "2001:DB8:0::1"}]}, "stands in targets twice"),
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


@pytest.mark.skipif(os.geteuid() != 0, reason="ICMP needs root")
def test_finishing_returns_what_was_measured_and_leaves_nothing(tmp_path: Path) -> None:
    traffic_probe.run(parameters(tmp_path, max_seconds=600), check_mode=False)
    asked = parameters(tmp_path, state="finished", steady_seconds=0.2, steady_timeout=60.0, timeout_ms=50.0)
    seen = traffic_probe.run(asked, check_mode=True)
    done = traffic_probe.run(asked, check_mode=False)
    assert seen["changed"] and seen["probe"]["running"], "check mode ends nothing"
    assert done["changed"] and [stream["target"] for stream in done["streams"]] == ["127.0.0.1"]
    assert done["streams"][0]["sent"] >= seen["streams"][0]["sent"] > 0
    assert list((tmp_path / "records").iterdir()) == []
    assert traffic_probe.run({**asked, "state": "absent"}, check_mode=False) == {"changed": False}
