"""Devices are chosen by name, and batches by what a device has."""

import pytest
import torch

from mmrag.core.errors import ConfigError
from mmrag.embed.engine.buckets import Budget
from mmrag.embed.engine.devices import choose_budget, choose_devices, choose_threads
from mmrag.embed.engine.options import EngineOptions

gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0


def test_the_first_gpu_or_the_cpu_is_taken() -> None:
    assert choose_devices(EngineOptions()) == (("cuda:0",) if gpus else ("cpu",))
    assert choose_devices(EngineOptions(devices=("cpu",))) == ("cpu",)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "cpu:0", ""])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no device.*cuda:0"):
        choose_devices(EngineOptions(devices=(name,)))


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no device 'cuda:99'.*Here are: cpu"):
        choose_devices(EngineOptions(devices=("cuda:99",)))


def test_a_device_is_named_once() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        choose_devices(EngineOptions(devices=("cpu", "cpu")))


def test_the_options_say_how_large_a_batch_is() -> None:
    assert choose_budget("cpu", EngineOptions(batch_tokens=99, batch_visual_tokens=9)) == Budget(99, 9, 64)
    assert choose_budget("cpu", EngineOptions()) == Budget(4096, 2048, 64)


@pytest.mark.gpu
@pytest.mark.skipif(not gpus, reason="no GPU")
def test_the_free_memory_of_a_gpu_counts() -> None:
    before = choose_budget("cuda:0", EngineOptions())
    free, _ = torch.cuda.mem_get_info("cuda:0")
    held = torch.empty(int(free * 0.95), dtype=torch.uint8, device="cuda:0")
    try:
        after = choose_budget("cuda:0", EngineOptions())
    finally:
        del held
        torch.cuda.empty_cache()
    assert 2048 <= after.tokens < before.tokens <= 65_536


def test_there_is_a_thread_a_core() -> None:
    assert choose_threads(EngineOptions()) >= 1
    assert choose_threads(EngineOptions(threads=5)) == 5
