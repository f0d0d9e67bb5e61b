# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials of the monitor's instance: renewed beside the calls that need them, and used until they end.

botocore renews them within a call. When the instance metadata service is away, from a quarter of an hour before they
end each call would wait for it and then fail, although EC2 accepts the old ones still.
"""

from __future__ import annotations

import logging
import threading

from botocore.credentials import CredentialProvider, Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.session import Session

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error

from .clock import monotonic

_INSTANCE = "iam-role"  # botocore's name of what asks the metadata service
_EARLY = 900  # s before they end: from then on they are renewed
_PAUSE = 10.0  # s between two tries
_RENEWED_AFTER = 60.0  # s without a complaint of botocore's about renewing others


class Renewal:
    """Renews for all clients of one monitor, and knows whether that fails. Thread-safe."""

    def __init__(self) -> None:
        self._trouble = ""
        self._others = _Complaints()

    def trouble(self) -> str:
        """Why credentials cannot be renewed now, empty when they can or need not be."""
        complaint = self._others.trouble if monotonic() - self._others.at <= _RENEWED_AFTER else ""
        return self._trouble or complaint

    def tried(self, trouble: str) -> None:
        """An instance's were renewed, or why not."""
        self._trouble = trouble

    def prepare(self, session: Session) -> None:
        """Let a session that is to make a client use these credentials. Raises Ec2Error when it finds none at all."""
        chain = session.get_component("credential_provider")
        chain.insert_before(_INSTANCE, _Provider(chain.get_provider(_INSTANCE), self))
        if session.get_credentials() is None:  # a client made now would never have any
            text = "no usable AWS credentials are found; set them in the environment, a profile or a role"
            raise Ec2Error("preparing to talk to AWS", ec2.CREDENTIALS, text)


class _Provider(CredentialProvider):
    METHOD = "vpnha-iam-role"
    CANONICAL_NAME = None

    def __init__(self, theirs: CredentialProvider, renewal: Renewal) -> None:
        super().__init__()
        self._theirs, self._renewal = theirs, renewal

    def load(self) -> Credentials | None:
        found = self._theirs.load()
        return _Lasting(found, self._theirs, self._renewal) if isinstance(found, RefreshableCredentials) else found


class _Lasting(Credentials):
    """What is held is what calls get, at once; whether it is still good is for AWS to say."""

    def __init__(self, found: RefreshableCredentials, source: CredentialProvider, renewal: Renewal) -> None:
        super().__init__(found.access_key, found.secret_key, found.token, method=_INSTANCE)
        self._found, self._frozen = found, found.get_frozen_credentials()
        self._source, self._renewal = source, renewal
        self._renewing = threading.Lock()  # held until a try has ended, also by the thread that makes it
        self._next = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        # their end is AWS's time, and this host's clock may be behind
        early = _EARLY + max(0, round(ec2.CLOCK.skew))
        if self._found.refresh_needed(early) and self._renewing.acquire(blocking=False):
            self._begin()
        return self._frozen

    def _begin(self) -> None:
        if monotonic() < self._next:
            self._renewing.release()
            return
        try:
            threading.Thread(target=self._renew, name="credentials", daemon=True).start()
        except RuntimeError as error:  # no thread can be made now; the call has its credentials all the same
            self._ended(str(error))

    def _renew(self) -> None:
        trouble = "the instance metadata service gives none"
        try:
            found = self._source.load()
            if isinstance(found, RefreshableCredentials):
                self._frozen, self._found = found.get_frozen_credentials(), found
                trouble = ""
        except Exception as error:  # whatever it is, it is tried again and must not end unsaid
            trouble = " ".join(str(error).split()) or type(error).__name__
        self._ended(trouble)

    def _ended(self, trouble: str) -> None:
        self._renewal.tried(trouble)
        self._next = monotonic() + _PAUSE
        self._renewing.release()


class _Complaints(logging.Handler):
    """Hears botocore say that it could not renew credentials from elsewhere; it tries at every call, long before."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.trouble = ""
        self.at = 0.0
        logging.getLogger("botocore.credentials").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.trouble, self.at = record.getMessage(), monotonic()
