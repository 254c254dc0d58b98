"""The embedded embedder: exact whatever the batch, near its float32 original, honest about its files."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmrag.embed.minilm as package
from mmrag.core.errors import ConfigError, ModelError, NotFound, UnsupportedModality
from mmrag.core.fields import embedding_text
from mmrag.core.protocols import Embedder, TextEmbedder
from mmrag.core.types import Item, ItemId, Page, Part, Query, SourceId
from mmrag.embed.minilm import MiniLMEmbedder, MiniLMOptions

FILES = Path(package.__file__).parent

SENTENCES = [
    "How long is the warranty of the pump?",
    "The manufacturer guarantees the device for five years.",
    "Connect terminal A1 of the relay to the blue wire.",
    "Bananas are rich in potassium.",
    "Error E12: the dry-run protection has stopped the motor.",
    "",
]
# Cosines of every pair by sentence-transformers 6.2.0 on torch 2.13.0 in float32.
REFERENCE = [
    [1.000, 0.475, 0.079, -0.063, 0.190, 0.055],
    [0.475, 1.000, 0.021, -0.039, 0.106, 0.063],
    [0.079, 0.021, 1.000, 0.060, 0.166, 0.020],
    [-0.063, -0.039, 0.060, 1.000, 0.016, 0.046],
    [0.190, 0.106, 0.166, 0.016, 1.000, -0.050],
    [0.055, 0.063, 0.020, 0.046, -0.050, 1.000],
]


@pytest.fixture(scope="module")
def embedder() -> MiniLMEmbedder:
    return MiniLMOptions(threads=2).build()


def test_it_keeps_the_protocols(embedder: MiniLMEmbedder) -> None:
    assert isinstance(embedder, Embedder)
    assert isinstance(embedder, TextEmbedder)


def test_vectors_are_near_the_float32_original(embedder: MiniLMEmbedder) -> None:
    vectors = embedder.embed_texts(SENTENCES)
    np.testing.assert_allclose(vectors @ vectors.T, REFERENCE, atol=0.015)


def test_vectors_have_length_one(embedder: MiniLMEmbedder) -> None:
    vectors = embedder.embed_texts([*SENTENCES, "pump " * 2000])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_vector_does_not_depend_on_its_batch_bit_for_bit(embedder: MiniLMEmbedder) -> None:
    texts = [*SENTENCES, "Long. " * 300, "12 34 56 !!! <<>>", "relay " * 90]
    together = embedder.embed_texts(texts)
    backwards = embedder.embed_texts(texts[::-1])[::-1]
    alone = np.vstack([embedder.embed_texts([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(backwards, alone)


def test_threads_change_no_vector(embedder: MiniLMEmbedder) -> None:
    texts = [f"Passage {i} says that {i * i} is a square." * (1 + i % 5) for i in range(24)]
    single = MiniLMOptions(threads=1).build().embed_texts(texts)
    np.testing.assert_array_equal(MiniLMOptions(threads=4).build().embed_texts(texts), single)


def test_callers_in_many_threads_share_one_embedder() -> None:
    fresh = MiniLMOptions(threads=2).build()
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: fresh.embed_texts(SENTENCES), range(12)))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_nothing_gives_an_empty_matrix(embedder: MiniLMEmbedder) -> None:
    assert embedder.embed_texts([]).shape == (0, 384)
    assert len(embedder.embed_items([])) == 0
    assert len(embedder.embed_queries([])) == 0


def test_word_pieces_are_counted_without_the_special_ones(embedder: MiniLMEmbedder) -> None:
    assert embedder.count_tokens(["", "Hello, world", "unaffable", "  \n"]) == [0, 3, 3, 0]


def test_a_text_over_the_limit_is_read_to_its_end(embedder: MiniLMEmbedder) -> None:
    beginning = "The pump runs on mains power. " * 120
    ends = [beginning + "The warranty is five years. " * 40, beginning + "Bananas grow in the tropics. " * 40]
    assert min(embedder.count_tokens(ends)) > embedder.max_tokens
    question, one, other = embedder.embed_texts(["How long is the warranty?", *ends])
    assert question @ one > question @ other + 0.05


def test_a_text_at_the_limit_is_one_window(embedder: MiniLMEmbedder) -> None:
    text = "pump " * embedder.max_tokens
    assert embedder.count_tokens([text]) == [embedder.max_tokens]
    longer = embedder.embed_texts([text, text + "pump"])
    assert np.isfinite(longer).all()


def test_a_long_text_is_the_mean_of_equal_windows(embedder: MiniLMEmbedder) -> None:
    half = "pump " * 400
    whole, part = embedder.embed_texts([half + half, half])
    np.testing.assert_allclose(whole, part, atol=1e-5)


@pytest.mark.parametrize("text", ["\udcff.pdf", "a\x00b", "\u200b", "😀" * 50, "漢字", "x" * 5000])
def test_strange_text_has_a_vector(embedder: MiniLMEmbedder, text: str) -> None:
    assert np.isfinite(embedder.embed_texts([text])).all()
    assert embedder.count_tokens([text])[0] >= 0


def test_letter_case_does_not_matter(embedder: MiniLMEmbedder) -> None:
    upper, lower = embedder.embed_texts(["THE RELAY", "the relay"])
    np.testing.assert_array_equal(upper, lower)


def picture() -> Item:
    parts = (
        Part("image", media="0" * 64),
        Part("text", text="Wiring of relay K1", role="caption"),
        Part("text", text="A1 A2 blue", role="ocr"),
    )
    return Item(ItemId("1"), SourceId("figures/relay.png"), Page(1), parts, {"heading": "Installation"})


def test_a_picture_is_embedded_by_its_words(embedder: MiniLMEmbedder) -> None:
    by_item = embedder.embed_items([picture()])
    assert by_item.is_dense
    np.testing.assert_array_equal(by_item.vectors, embedder.embed_texts([embedding_text(picture())]))


def test_a_question_is_embedded_by_its_words(embedder: MiniLMEmbedder) -> None:
    by_query = embedder.embed_queries([Query.of(SENTENCES[0]), Query.of("")])
    np.testing.assert_array_equal(by_query.vectors, embedder.embed_texts([SENTENCES[0], ""]))


def test_a_question_with_a_picture_is_refused(embedder: MiniLMEmbedder) -> None:
    with pytest.raises(UnsupportedModality, match="image"):
        embedder.embed_queries([Query.of("What is this?", image="photo.jpg")])


def test_identity_names_what_the_vectors_depend_on(embedder: MiniLMEmbedder) -> None:
    sha256 = hashlib.sha256((FILES / "model.onnx").read_bytes()).hexdigest()
    identity = embedder.identity
    assert identity["model"] == "all-MiniLM-L6-v2"
    assert identity["revision"] == sha256[:16]
    assert (identity["dtype"], identity["pooling"], identity["dim"]) == ("int8", "mean", "384")
    assert identity == MiniLMOptions(threads=1).build().identity
    assert embedder.languages == frozenset({"en"})
    assert embedder.modalities == frozenset({"text"})
    assert embedder.dim == 384


def test_negative_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match="-1"):
        MiniLMOptions(threads=-1).build()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FILES, tmp_path / "minilm"))


def test_a_missing_folder_says_how_to_repair(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"manifest\.json") as caught:
        MiniLMEmbedder(folder=tmp_path)
    assert "pip install" in caught.value.fix


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_says_how_to_repair(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(NotFound, match=name) as caught:
        MiniLMEmbedder(folder=copy).embed_texts(["x"])
    assert "pip install" in caught.value.fix


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_not_used(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        MiniLMEmbedder(folder=copy).embed_texts(["x"])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "x"}'])
def test_a_damaged_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match="manifest"):
        MiniLMEmbedder(folder=copy)


def test_the_files_are_those_of_the_manifest_and_small() -> None:
    manifest = json.loads((FILES / "manifest.json").read_text())
    for name, sha256 in manifest["files"].items():
        assert hashlib.sha256((FILES / name).read_bytes()).hexdigest() == sha256, name
    assert (FILES / "model.onnx").stat().st_size < 23_000_000


def test_licence_and_attribution_travel_with_the_model() -> None:
    assert "Apache License" in (FILES / "LICENSE").read_text()
    notice = (FILES / "NOTICE").read_text()
    assert "sentence-transformers" in notice
    assert "Changes:" in notice
    script = Path(__file__).parents[3] / "scripts" / "build_minilm.py"
    source = json.loads((FILES / "manifest.json").read_text())["source"]["model.safetensors"]
    assert source in notice
    assert source in script.read_text()


def test_building_it_loads_no_heavy_library() -> None:
    code = (
        "import sys; from mmrag.embed.minilm import MiniLMOptions; MiniLMOptions().build().identity; "
        "print([m for m in ('onnxruntime', 'tokenizers', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
