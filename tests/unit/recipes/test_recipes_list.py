"""What `list_recipes` tells, so that a person can choose."""

import subprocess
import sys

from mmrag.recipes import list_recipes

BY_NAME = {(info.kind, info.name): info for info in list_recipes()}


def test_an_index_tells_what_its_vectors_can_be_of():
    assert BY_NAME["index", "default"].embedder.takes == ("text",)
    assert BY_NAME["index", "gme-qwen2-vl-2b"].embedder.takes == ("text", "image", "fused")
    assert BY_NAME["index", "clip"].embedder.takes == ("text", "image")
    assert BY_NAME["index", "clap"].embedder.takes == ("text", "audio")
    assert BY_NAME["index", "uniir-clip-sf"].embedder.takes == ("text", "image", "fused")


def test_an_index_tells_kind_model_and_lengths():
    default, jina = BY_NAME["index", "default"].embedder, BY_NAME["index", "jina-v4"].embedder
    assert (default.kind, default.model, default.dims) == ("minilm", "", (384,))
    assert (jina.kind, jina.model) == ("mllm", "jinaai/jina-embeddings-v4")
    assert jina.dims == (128, 256, 512, 1024, 2048)


def test_what_is_inherited_is_told_too():
    # The recipe itself names no embedder, and its size is its own.
    assert BY_NAME["index", "faiss-flat"].embedder == BY_NAME["index", "default"].embedder
    small, large = BY_NAME["index", "gme-qwen2-vl-2b"], BY_NAME["index", "gme-qwen2-vl-7b"]
    assert (small.parameters, large.parameters) == ("2.2B", "8.3B")
    assert small.licence == large.licence == "Apache-2.0"


def test_a_pipeline_tells_of_its_index():
    assert BY_NAME["pipeline", "default"].embedder == BY_NAME["index", "default"].embedder
    assert "Apache-2.0" in BY_NAME["pipeline", "default"].licence


def test_every_local_model_tells_its_size_and_licence():
    for info in BY_NAME.values():
        if info.embedder.kind in ("mllm", "dual"):
            assert info.parameters, info.name
            assert info.licence, info.name
            assert info.embedder.takes, info.name
            assert "local" in info.needs, info.name


def test_listing_loads_no_library_of_models():
    code = (
        "import sys; from mmrag.recipes import list_recipes; list_recipes(); "
        "heavy = ('torch', 'transformers', 'faiss', 'rapidocr', 'onnxruntime', 'peft', 'httpx'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
