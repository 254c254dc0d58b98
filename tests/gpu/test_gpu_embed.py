"""Local models on real GPUs; skipped where torch sees none."""

import io

import numpy as np
import pytest
from PIL import Image

from mmrag.core.types import Query
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.mllm.options import Form, MllmOptions
from mmrag.testing.samples import picture_item, text_item
from mmrag.testing.tiny import build_tiny

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.fixture(scope="module")
def items():
    made = []
    for i in range(40):
        out = io.BytesIO()
        Image.new("RGB", (60 + 7 * i, 80), (6 * i, 20, 200 - 5 * i)).save(out, "PNG")
        made += [(text_item("relay " * (1 + i)), b""), (picture_item(out.getvalue()), out.getvalue())]
    return made


def embed(folder, items, **more):
    form = Form(wrap="<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n")
    options = MllmOptions(str(folder), "qwen2_vl", query=form, **more)
    shown = {item.parts[0].media: data for item, data in items}
    built = options.build()
    return built.embed_items([item for item, _ in items], lambda _, part: shown[part.media]).vectors, built


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny("qwen2_vl", tmp_path_factory.mktemp("gpu") / "qwen2_vl")


def test_a_gpu_gives_the_vectors_of_the_cpu(model, items):
    found, _ = embed(model, items, dtype="float32", engine=EngineOptions(devices=("cuda:0",)))
    wanted, _ = embed(model, items, dtype="float32", engine=EngineOptions(devices=("cpu",)))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_bfloat16_is_near_and_finite(model, items):
    found, built = embed(model, items, dtype="bfloat16", engine=EngineOptions(devices=("cuda:0",)))
    wanted, _ = embed(model, items, dtype="float32", engine=EngineOptions(devices=("cpu",)))
    assert np.isfinite(found).all()
    assert float((found * wanted).sum(axis=1).min()) > 0.99
    assert built.embed_queries([Query.of("relay")]).vectors.dtype == np.float32


@pytest.mark.skipif(not torch.cuda.is_available() or torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_give_what_one_gives(model, items):
    both = EngineOptions(devices=("cuda:0", "cuda:1"), batch_items=4, window=16)
    one = EngineOptions(devices=("cuda:0",), batch_items=4, window=16)
    found, _ = embed(model, items, dtype="float32", engine=both)
    wanted, _ = embed(model, items, dtype="float32", engine=one)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_batch_that_is_too_large_is_halved(model, items):
    torch.cuda.set_per_process_memory_fraction(0.002)
    try:
        engine = EngineOptions(devices=("cuda:0",), batch_tokens=60_000, batch_visual_tokens=60_000)
        found, _ = embed(model, items * 8, dtype="float32", engine=engine)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.isfinite(found).all()
