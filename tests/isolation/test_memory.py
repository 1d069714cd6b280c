"""How much memory is available, on machines and in containers."""

import sys

import pytest
from smdecl.isolation import memory

GIBIBYTE = 1 << 30
MEMINFO = "MemTotal:  16777216 kB\nMemFree: 1048576 kB\nMemAvailable:  8388608 kB\n"
UNLIMITED_V1 = 9223372036854771712


@pytest.fixture
def system(tmp_path):
    """Writes files below a root directory and returns it."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return write


def v1(group, limit):
    place = f"sys/fs/cgroup/memory/{group}".rstrip("/")
    return {
        f"{place}/memory.limit_in_bytes": limit,
        f"{place}/memory.usage_in_bytes": GIBIBYTE,
        f"{place}/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIBIBYTE // 2}",
    }


def v2(group, limit):
    place = f"sys/fs/cgroup/{group}".rstrip("/")
    return {
        f"{place}/memory.max": limit,
        f"{place}/memory.current": GIBIBYTE,
        f"{place}/memory.stat": f"anon 5\ninactive_file {GIBIBYTE // 2}",
    }


MACHINE = {"proc/meminfo": MEMINFO}
IN_V1 = {**MACHINE, "proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/1\n0::/"}
IN_V2 = {**MACHINE, "proc/self/cgroup": "0::/user/job"}
CASES = {
    "machine": (MACHINE, 8 * GIBIBYTE),
    "nothing is known": ({}, sys.maxsize),
    "v1": ({**IN_V1, **v1("docker/1", 2 * GIBIBYTE)}, 1.5 * GIBIBYTE),
    "v1, the container is the top": ({**IN_V1, **v1("", 2 * GIBIBYTE)}, 1.5 * GIBIBYTE),
    "v1, no limit": ({**IN_V1, **v1("docker/1", UNLIMITED_V1)}, 8 * GIBIBYTE),
    "v2": ({**IN_V2, **v2("user/job", 2 * GIBIBYTE)}, 1.5 * GIBIBYTE),
    "v2, the group above": (
        {**IN_V2, **v2("user/job", "max"), **v2("user", 3 * GIBIBYTE)},
        2.5 * GIBIBYTE,
    ),
    "v2, no limit": ({**IN_V2, **v2("user/job", "max")}, 8 * GIBIBYTE),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_available(system, case):
    files, expected = CASES[case]

    assert memory.available(system(files)) == expected


def test_this_machine_tells():
    assert 0 < memory.available() < sys.maxsize
