"""Machines for tests of what runs where."""

from __future__ import annotations

from server.engines.managed.hardware import Hardware

LAPTOP = Hardware(
    system="Linux",
    machine="x86_64",
    python=(3, 11),
    cpus=8,
    cpu_flags=frozenset({"avx2", "avx512f"}),
    memory_mib=16384,
    memory_available_mib=12000,
    home_free_mib=100_000,
    weights_free_mib=200_000,
    weights_cached=frozenset(),
)
