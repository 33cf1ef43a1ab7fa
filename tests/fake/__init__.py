"""A scriptable package index on loopback: the only upstream that tests and benches talk to.

It is a real HTTP/1.1 server, so what it does wrong is wrong on the wire. It must never import
pypicached: a fake that shares code with what it judges would share its mistakes.
"""

from tests.fake.faults import Fault, Gate
from tests.fake.pages import Dialect
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.upstream import FakeUpstream
from tests.fake.wheels import DistFile, make_sdist, make_wheel
from tests.fake.wire import Request

__all__ = [
    "Dialect",
    "DistFile",
    "FakeUpstream",
    "Fault",
    "Gate",
    "Request",
    "ThreadedFakeUpstream",
    "make_sdist",
    "make_wheel",
]
