# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a description says of the hosts' images, which is no part of the deployment: it is only checked here."""

from __future__ import annotations

import re

from .description_fields import Section, shown

_IMAGE = re.compile(r"ami-[0-9a-z]+|resolve:ssm:\S+")  # the second is EC2's own way to look one up


def check_images(top: Section) -> None:
    """Note what is no image. One that is left out is the matter of the role that needs it."""
    images = {top.text(key, ""): key for key in ("vpnha_app_image", "vpnha_image")}  # by default the same
    for image, key in images.items():
        if image and not _IMAGE.fullmatch(image):
            top.problem(key, f"{shown(image)} is no id of an AMI; write one like ami-0123456789abcdef0.")
