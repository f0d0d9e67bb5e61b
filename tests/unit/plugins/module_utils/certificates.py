# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA for tests, which issues what it is asked for."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Authority:
    """Makes keys and certificates around the time that tests take for now."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem, _key = self._issue("test CA", None, 3650, ca=True, key=self._key)

    def issue(self, identity: str, days: int = 365, begins: int = -1) -> tuple[str, str]:
        """Certificate and key of somebody, in PEM."""
        return self._issue(identity, identity, days, begins=begins)

    def _issue(
        self,
        name: str,
        identity: str | None,
        days: int,
        *,
        ca: bool = False,
        begins: int = -1,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> tuple[str, str]:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        builder = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(self._now + timedelta(days=min(begins, days - 1)))
            .not_valid_after(self._now + timedelta(days=days))
        )
        if ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if identity is not None:
            names = x509.SubjectAlternativeName([_name(identity)])
            builder = builder.add_extension(names, critical=False)
        pem = builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()
        return pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _name(identity: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(identity))
    except ValueError:
        return x509.RFC822Name(identity) if "@" in identity else x509.DNSName(identity)
