"""Addresses for several machines on this one: network namespaces, or loopback addresses where we are not root.

With namespaces a link between two of them can be cut in silence: packets go nowhere and nobody is told, as when a
cable is pulled. Loopback addresses cannot be cut.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

NOWHERE = "02:00:00:00:00:01"  # a locally administered hardware address that nobody has


class Network(Protocol):
    def address(self, node: str) -> str: ...

    def on(self, node: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on that node."""
        ...

    def cut(self, one: str, other: str) -> bool:
        """False where that cannot be done."""
        ...

    def mend(self, one: str, other: str) -> None: ...


class Loopback:
    """127.0.77.1, 127.0.77.2, ..., in the order of the nodes."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._addresses = {node: f"127.0.77.{number}" for number, node in enumerate(nodes, 1)}

    def address(self, node: str) -> str:
        return self._addresses[node]

    def on(self, node: str, command: Sequence[str]) -> list[str]:
        return [*command]

    def cut(self, one: str, other: str) -> bool:
        return False

    def mend(self, one: str, other: str) -> None:
        pass


class Namespaces:
    """A namespace per node, all on one bridge, which has a namespace of its own: nothing is changed outside of them."""

    def __init__(self, prefix: str, nodes: Sequence[str]) -> None:
        self.prefix = prefix
        self._addresses = {node: f"10.77.0.{number}" for number, node in enumerate(nodes, 1)}

    def name(self, node: str) -> str:
        return f"{self.prefix}-{node}"

    def address(self, node: str) -> str:
        return self._addresses[node]

    def on(self, node: str, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name(node), *command]

    def make(self) -> None:
        hub = self.name("hub")
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for number, (node, address) in enumerate(self._addresses.items()):
            name = self.name(node)
            _ip("netns", "add", name)
            _ip("-n", hub, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", hub, "link", "set", f"port{number}", "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")

    def remove(self) -> None:
        for node in ("hub", *self._addresses):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", self.name(node))

    def cut(self, one: str, other: str) -> bool:
        """Both ways: each is told a hardware address of the other that nobody has."""
        for here, there in ((one, other), (other, one)):
            place = (self._addresses[there], "lladdr", NOWHERE, "nud", "permanent", "dev", "eth0")
            _ip("-n", self.name(here), "neigh", "replace", *place)
        return True

    def mend(self, one: str, other: str) -> None:
        for here, there in ((one, other), (other, one)):
            _ip("-n", self.name(here), "neigh", "del", self._addresses[there], "dev", "eth0")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def namespaces(nodes: Sequence[str]) -> Iterator[Namespaces]:
    """Made, and removed at the end. Needs root and `ip`."""
    network = Namespaces(f"portico{os.getpid()}", nodes)
    try:
        network.make()
        yield network
    finally:
        network.remove()
