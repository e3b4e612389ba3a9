"""Memory is asked for below a bound: that of the caller, or a share of what is free."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
import threading

import psutil
import pytest

import invgen as ig
from invgen.core.errors import MemoryLimitError, ParameterError
from invgen.core.memory import free_memory, parse_memory, release_freed_memory, require_memory


def test_bounds_in_words():
    assert parse_memory("8G") == parse_memory("8 GiB") == parse_memory("8gb") == 8 * 2**30
    assert parse_memory("1.5k") == 1536
    assert parse_memory(1000) == 1000
    assert 0 < parse_memory("50%") < psutil.virtual_memory().total
    for wrong in ("", "G", "8X", "-1G", "0", "nan", "inf", "101%", "1e30", "1_0G G"):
        with pytest.raises(ParameterError, match=r"such as 8G, 500M or 60%"):
            parse_memory(wrong)


def test_the_default_is_a_share_of_what_is_free():
    require_memory(0.3 * free_memory(), "A slice")
    with pytest.raises(
        MemoryLimitError, match=r"A slice needs .* 60% of what is free: choose .*--max-memory"
    ):
        require_memory(1.5 * free_memory(), "A slice", "choose fewer views")


def test_a_bound_is_that_of_its_block_alone():
    with ig.memory_limit("1M"):
        with pytest.raises(
            MemoryLimitError, match="2 MiB of memory, more than 1 MiB, the bound that is given"
        ):
            require_memory(2**21, "A slice")
        with ig.memory_limit("4M"):
            require_memory(2**21, "A slice")
        with pytest.raises(MemoryLimitError):
            require_memory(2**21, "A slice")
        raised = []
        thread = threading.Thread(target=lambda: raised.append(require_memory(2**21, "A slice")))
        thread.start(), thread.join()
        assert raised == [None]  # it is no setting of the process
    require_memory(2**21, "A slice")


def test_a_shortage_is_a_memory_error_of_ours():
    assert issubclass(MemoryLimitError, MemoryError)
    assert issubclass(MemoryLimitError, ig.errors.InvgenError)


def test_a_limit_of_the_process_counts():
    """A limit of 64 GB of addresses, far below what is claimed here, is not exceeded by what is free."""
    script = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))\n"
    script += "from invgen.core.memory import free_memory; print(free_memory())"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0 < int(run.stdout) < 2**36
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 2**36


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_memory_between_what_is_still_used_goes_back_to_the_system():
    blocks = [bytearray(100_000) for _ in range(2000)]
    kept = blocks[::50]
    blocks.clear()
    before = psutil.Process().memory_info().rss
    release_freed_memory()
    assert before - psutil.Process().memory_info().rss > 100e6
    assert len(kept) == 40
