"""Memory is counted once however many processes share it, and looking costs next to nothing."""

import math
import subprocess
import sys
import time

import psutil
import pytest

from kexue.press.execution import memory as memory_module
from kexue.press.execution.memory import SHARE, Memory

FORKS = """import os, sys, time
held = bytearray(os.urandom(1024) * 100 * 1024)  # 100 MiB
children = []
for _ in range(5):
    if (pid := os.fork()) == 0:
        sum(held[::4096])  # reads, and so shares, every page
        time.sleep(600)
    children.append(pid)
print("ready", flush=True)
time.sleep(600)
"""


def test_what_forks_share_is_counted_once():
    with subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True) as process:
        family = [psutil.Process(process.pid)]
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            family += family[0].children()
            memory = Memory(process.pid)
            memory.look()
            resident = sum(one.memory_info().rss for one in family)
            assert len(memory.seen) == 6
            assert resident > 500 * 2**20
            assert 100 * 2**20 < memory.peak < 300 * 2**20
        finally:
            for one in family:
                one.kill()


def test_a_process_that_has_ended_holds_nothing():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    memory = Memory(process.pid)
    process.communicate(b"\n")
    for _ in range(3):
        memory.look()
    assert memory.peak >= 0


@pytest.fixture
def clock(monkeypatch) -> dict[str, float]:
    """The time and what was computed, set by hand; each close look computes for 0.2 s and finds what `held` says."""
    at = {"time": 1000.0, "computed": 0.0, "looks": 0.0, "resident": 50.0, "held": 50.0}

    def look_closely(self):
        at["looks"] += 1
        at["computed"] += 0.2
        self._resident, self._held = int(at["resident"]), int(at["held"])
        self.peak = max(self.peak, self._held)

    monkeypatch.setattr(Memory, "_look_closely", look_closely)
    monkeypatch.setattr(memory_module, "_resident", lambda process: int(at["resident"]))
    monkeypatch.setattr(time, "monotonic", lambda: at["time"])
    monkeypatch.setattr(time, "thread_time", lambda: at["computed"])
    return at


def test_looking_costs_no_more_than_its_share(clock):
    memory = Memory(psutil.Process().pid)
    for _ in range(1000):
        memory.look(limit=math.inf)
        clock["time"] += 0.1
    assert clock["computed"] <= SHARE * 100 + 0.2


def test_a_limit_is_noticed_at_once_and_sharing_does_not_pass_for_it(clock):
    clock.update(resident=500, held=80)  # forks that share
    memory = Memory(psutil.Process().pid)
    memory.look(limit=100)
    clock["time"] += 0.1
    memory.look(limit=100)
    assert clock["looks"] == 1
    clock.update(resident=530, held=110)
    clock["time"] += 0.1
    memory.look(limit=100)
    assert clock["looks"] == 2
    assert memory.peak == 110
