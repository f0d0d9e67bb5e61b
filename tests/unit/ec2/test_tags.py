# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks in tags: what we write is read back, and what people write by hand counts even where it is incomplete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.model import Pin, RepairMark

WALL = 1_767_225_600.0


def test_a_pin_reads_as_documented() -> None:
    text = tags.format_pin(Pin("gw-b", WALL, "jane"))
    assert text == "gateway=gw-b expires=2026-01-01T00:00:00Z by=jane"
    assert tags.parse_pin(text) == (Pin("gw-b", WALL, "jane"), True)


def test_a_pause_and_a_drill_read_as_documented() -> None:
    assert tags.format_pause(tags.Pause(WALL, "jane")) == "until=2026-01-01T00:00:00Z by=jane"
    assert tags.parse_pause("until=2026-01-01T00:00:00Z by=jane") == tags.Pause(WALL, "jane", True)
    assert tags.parse_drill(tags.format_drill(tags.Drill("x-1", WALL))) == tags.Drill("x-1", WALL, True)


@pytest.mark.parametrize("text", ["", "yes", "until=tomorrow", "until=2026-01-01", "until=2026-13-01T00:00:00Z"])
def test_an_unreadable_pause_counts_without_an_end(text: str) -> None:
    pause = tags.parse_pause(text)
    assert pause.until_wall == tags.NO_EXPIRY
    assert not pause.readable


def test_a_pin_without_an_end_counts_and_is_told() -> None:
    pin, readable = tags.parse_pin("gateway=gw-b")
    assert (pin.gateway, pin.expires_wall, readable) == ("gw-b", tags.NO_EXPIRY, False)
    assert tags.parse_pin("expires=2026-01-01T00:00:00Z")[1] is False


@given(st.text(max_size=400), st.integers(0, 4_000_000_000))
def test_any_name_fits_into_a_tag_and_leaves_the_rest_readable(by: str, wall: int) -> None:
    text = tags.format_pin(Pin("gw-b", wall, by))
    assert len(text) <= 256
    assert all(c.isascii() and (c.isalnum() or c in " _.:/=+-@") for c in text)
    pin, readable = tags.parse_pin(text)
    assert (pin.gateway, pin.expires_wall, readable) == ("gw-b", wall, True)


def test_repairs_read_as_documented() -> None:
    mark = RepairMark((WALL, WALL + 600), "stop")
    assert tags.format_repair(mark) == "rung=stop steps=2026-01-01T00:00:00Z/2026-01-01T00:10:00Z"
    assert tags.parse_repair(tags.format_repair(mark)) == mark


@pytest.mark.parametrize(
    "text", ["", "rung=stop", "rung=stop steps=", "rung=stop steps=now", "steps=2026-01-01T00:00:00Z"]
)
def test_repairs_that_cannot_be_read_are_told(text: str) -> None:
    assert not tags.parse_repair(text).readable


def test_as_many_steps_as_a_day_may_have_fit_into_the_tag() -> None:
    mark = RepairMark(tuple(WALL + 600 * n for n in range(10)), "power-cut")
    assert len(tags.format_repair(mark)) <= 256
    assert tags.parse_repair(tags.format_repair(mark)) == mark
