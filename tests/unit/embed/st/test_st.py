"""Models in the format of sentence-transformers, against the library itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrag.core.errors import (
    ConfigError,
    Corrupt,
    ModelError,
    NotFound,
    OutOfMemory,
    QueryError,
    UnsupportedModality,
)
from mmrag.core.types import Item, Query
from mmrag.embed.content import Content, Picture
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.local import LocalEmbedder
from mmrag.embed.st import SentenceTransformersOptions
from mmrag.embed.st.build import build_embedder
from mmrag.embed.st.files import code_digest, look_into
from mmrag.media.pictures import open_picture, upright
from mmrag.testing.embedder import EmbedderContract
from mmrag.testing.samples import picture_item, picture_of, text_item

Saved = Callable[[str], Path]
PHOTO = picture_of("A2", width=100, height=60)
OTHER = picture_of("B7", width=60, height=100, encoding="JPEG")
TEXTS = ["a red sofa", "the tower is 330 metres tall", "https://evil.example/x.png", "/etc/hostname"]


def make(folder: Path, **options: Any) -> LocalEmbedder:
    given = {"engine": EngineOptions(devices=("cpu",), threads=1), **options}
    return SentenceTransformersOptions(str(folder), **given).build()


def clip(saved: Saved, **options: Any) -> LocalEmbedder:
    return make(saved("clip"), takes=("text", "image"), dim=24, **options)


def library(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def unit(vectors: Any) -> np.ndarray:
    return np.asarray(vectors) / np.linalg.norm(vectors, axis=-1, keepdims=True)


def opened(data: bytes) -> Any:
    return upright(open_picture(data, max_pixels=10**8))


class TestSentenceTransformers(EmbedderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, saved: Saved) -> LocalEmbedder:
        cls.folder = saved("bert")
        return cls().make()

    def make(self) -> LocalEmbedder:
        return make(type(self).folder)


def test_vectors_are_those_of_the_library(saved: Saved) -> None:
    embedder, reference = make(saved("bert")), library(saved("bert"))
    items = embedder.embed_items([text_item(text) for text in TEXTS]).vectors
    for text, found in zip(TEXTS, items, strict=True):
        np.testing.assert_allclose(found, reference.encode([{"text": text}])[0], atol=1e-5)
    (query,) = embedder.embed_queries([Query.of("cat")]).vectors
    np.testing.assert_allclose(query, reference.encode([{"text": "find: cat"}])[0], atol=1e-5)


def test_prompts_can_be_chosen(saved: Saved) -> None:
    embedder = make(
        saved("bert"),
        tasks={"mine": "mine: "},
        query_instruction="Instruct: {instruction}\n",
        document="doc: ",
    )
    assert embedder.tasks == {"query", "document", "code", "mine"}
    queries = [
        Query.of("cat", task="code"),
        Query.of("cat", task="mine"),
        Query.of("cat", instruction="Find."),
        Query.of("cat"),
    ]
    found = embedder.embed_queries(queries).vectors
    written = ["code: cat", "mine: cat", "Instruct: Find.\ncat", "find: cat"]
    wanted = library(saved("bert")).encode([{"text": text} for text in written])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    (item,) = embedder.embed_items([text_item("cat")]).vectors
    np.testing.assert_allclose(item, library(saved("bert")).encode([{"text": "doc: cat"}])[0], atol=1e-5)
    with pytest.raises(QueryError):
        embedder.embed_queries([Query.of("cat", task="nonsense")])


def test_cut_vectors_have_length_one(saved: Saved) -> None:
    found = make(saved("bert"), dim=8).embed_items([text_item(text) for text in TEXTS]).vectors
    whole = library(saved("bert")).encode([{"text": text} for text in TEXTS])
    np.testing.assert_allclose(found, unit(whole[:, :8]), atol=1e-5)


def test_long_words_are_cut_with_a_note(saved: Saved) -> None:
    found = list(make(saved("bert"), max_tokens=8).embed_stream([text_item("cat"), text_item("cat " * 50)]))
    assert found[0].notes == ()
    assert "first 8" in found[1].notes[0]


def test_two_towers_embed_words_and_pictures_in_one_batch(saved: Saved) -> None:
    embedder, reference = clip(saved), library(saved("clip"))
    contents = [
        Content(("a red sofa",), "document"),
        Content((Picture(lambda: PHOTO),), "document"),
        Content((Picture(lambda: OTHER),), "document"),
        Content(("a cat",), "query"),
    ]
    found = [one.vectors[0] for one in embedder.embed_contents(contents)]
    for got, value in zip(
        found,
        [{"text": "a red sofa"}, {"image": opened(PHOTO)}, {"image": opened(OTHER)}, {"text": "a cat"}],
        strict=True,
    ):
        np.testing.assert_allclose(got, unit(reference.encode([value])[0]), atol=1e-5)


def test_towers_cannot_fuse(saved: Saved, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(PHOTO)
    with pytest.raises(UnsupportedModality, match="words with pictures"):
        clip(saved).embed_queries([Query.of("in red", image=path)])
    with pytest.raises(UnsupportedModality, match="several"):
        clip(saved).embed_queries([Query.of(image=[path, path])])
    with pytest.raises(ModelError, match="no one vector"):
        clip(saved, fuses=True).embed_queries([Query.of("x")])


def test_a_multimodal_llm_fuses(saved: Saved, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(PHOTO)
    embedder = make(saved("llava_next"), takes=("text", "image"), fuses=True)
    queries = [Query.of("cat"), Query.of(image=path), Query.of("cat", image=path)]
    found = embedder.embed_queries(queries).vectors
    picture = opened(PHOTO)
    values = [{"text": "cat"}, {"image": picture}, {"image": picture, "text": "cat"}]
    reference = library(saved("llava_next"))
    for got, value in zip(found, values, strict=True):
        np.testing.assert_allclose(got, reference.encode([value])[0], atol=1e-5)


def test_a_model_of_words_refuses_pictures_in_a_mixed_batch(saved: Saved) -> None:
    """With a chat template the library takes them, and gives two pictures the same vector."""
    embedder = make(saved("causal"), pictures="image")
    contents = [Content(("a cat",), "document"), Content((Picture(lambda: PHOTO),), "document")]
    words, picture = embedder.embed_contents(contents)
    assert words.error is None
    assert isinstance(picture.error, UnsupportedModality)
    with pytest.raises(ModelError, match="not image"):
        make(saved("causal"), takes=("text", "image")).embed_items([text_item("cat")])


def test_a_broken_picture_fails_alone(saved: Saved) -> None:
    good, bad = picture_item(PHOTO), picture_item(b"no picture", source="bad.png")

    def media(item: Item, part: object) -> bytes:
        return PHOTO if item is good else b"no picture"

    found = list(clip(saved).embed_stream([good, bad, good], media))
    assert isinstance(found[1].error, Corrupt)
    np.testing.assert_array_equal(found[0].vectors, found[2].vectors)


def test_a_plain_model_is_refused(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"modules\.json") as caught:
        make(tiny("qwen2_vl"))
    assert "mmrag recipe list" in caught.value.fix
    with pytest.raises(NotFound):
        make(tmp_path / "none")


def test_what_a_folder_says_is_read_without_torch(saved: Saved) -> None:
    folder = look_into(saved("bert"))
    assert (folder.dim, folder.query_prompt, folder.document_prompt, folder.needs_code) == (
        32,
        "find: ",
        "",
        False,
    )
    assert look_into(saved("clip")).dim is None
    with pytest.raises(ConfigError, match="how long"):
        make(saved("clip"), takes=("text", "image"))
    with pytest.raises(ConfigError, match="32 numbers, not 64"):
        make(saved("bert"), dim=64)


def test_a_wrong_length_is_an_error(saved: Saved) -> None:
    with pytest.raises(ModelError, match="not of 99 numbers"):
        make(saved("clip"), takes=("text", "image"), dim=99).embed_items([text_item("cat")])


def test_the_identity_says_what_items_depend_on(saved: Saved, tmp_path: Path) -> None:
    base = dict(make(saved("bert")).identity)
    assert dict(make(saved("bert"), query="q: ", tasks={"x": "y"}).identity) == base
    for other in ({"document": "d: "}, {"dim": 8}, {"max_tokens": 9}, {"dtype": "bfloat16"}):
        assert dict(make(saved("bert"), **other).identity) != base
    copy = tmp_path / "bert"
    shutil.copytree(saved("bert"), copy)
    assert dict(make(copy).identity) == base
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("mean", "max"))
    assert dict(make(copy).identity) != base


def test_the_code_that_runs_is_part_of_the_identity(saved: Saved, tmp_path: Path) -> None:
    folder = with_code(saved, tmp_path)
    before = make(folder, remote_code=code_digest(folder), dim=24).identity
    script = folder / "own_normalize.py"
    script.write_text(script.read_text() + "# other\n")
    assert make(folder, remote_code=code_digest(folder), dim=24).identity != before


def test_counting_leaves_a_running_batch_alone(saved: Saved) -> None:
    model: Any = make(saved("bert"), max_tokens=6)._model.load("cpu")
    model.run([model.prepare(Content(("a red sofa",), "document"))])
    tokenizer = model._loaded.tokenizer.backend_tokenizer
    before = (tokenizer.truncation, tokenizer.padding)
    assert model.count_tokens([" ".join("a" * 20)]) == [20]
    assert (tokenizer.truncation, tokenizer.padding) == before != (None, None)


def test_a_recipe_is_held_to_what_it_takes(saved: Saved) -> None:
    words = make(saved("clip"), dim=24)
    pictures = make(saved("clip"), dim=24, takes=("image",))
    for embedder, part in ((words, Picture(lambda: PHOTO)), (pictures, "a red sofa")):
        (found,) = embedder.embed_contents([Content((part,), "document")])
        assert isinstance(found.error, UnsupportedModality)


@pytest.mark.parametrize("said", ["not enough memory", "can't allocate memory"])
def test_too_little_memory_of_the_machine_is_said(saved: Saved, said: str) -> None:
    model: Any = make(saved("bert"))._model.load("cpu")

    class Full:
        def encode_document(self, values: Any, **more: Any) -> Any:
            raise RuntimeError(said)

    prepared = [model.prepare(Content((text,), "document")) for text in ("a", "b")]
    model._loaded = Full()
    with pytest.raises(OutOfMemory, match="2 inputs at once"):
        model.run(prepared)


def test_an_unknown_task_fails_alone(saved: Saved) -> None:
    contents = [Content(("a",), "query", task="nonsense"), Content(("a",), "query", task="code")]
    bad, good = make(saved("bert")).embed_contents(contents)
    assert isinstance(bad.error, QueryError)
    assert good.error is None


def test_an_instruction_and_the_words_stay_apart(saved: Saved) -> None:
    query = Query.of("sofa", instruction="find")
    found = make(saved("bert")).embed_queries([query]).vectors
    wanted = unit(library(saved("bert")).encode([{"text": "find sofa"}], prompt=""))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def with_code(saved: Saved, tmp_path: Path) -> Path:
    """A model whose normalisation is a class of its own, which leaves a trace when it runs."""
    folder = tmp_path / "own"
    shutil.copytree(saved("bert"), folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[-1]["type"] = "own_normalize.OwnNormalize"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_normalize.py").write_text(
        "from pathlib import Path\n"
        "from sentence_transformers.sentence_transformer.modules import Normalize\n"
        f"Path({str(tmp_path / 'trace')!r}).write_text('ran')\n"
        "class OwnNormalize(Normalize):\n    pass\n"
    )
    return folder


def test_code_of_a_model_runs_only_when_its_digest_is_written_down(saved: Saved, tmp_path: Path) -> None:
    folder = with_code(saved, tmp_path)
    with pytest.raises(ConfigError, match="runs its own code") as caught:
        make(folder)
    digest = code_digest(folder)
    assert caught.value.where == "remote_code"
    assert f"remote_code: {digest}" in caught.value.fix
    with pytest.raises(ConfigError, match="other code"):
        make(folder, remote_code="true")
    assert not (tmp_path / "trace").exists()
    (folder / "own_normalize.py").write_text((folder / "own_normalize.py").read_text() + "x = 1\n")
    with pytest.raises(ConfigError, match="other code"):
        make(folder, remote_code=digest)
    assert not (tmp_path / "trace").exists()


def test_code_that_lies_elsewhere_never_runs(saved: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(saved("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "o/n--m.Model"}}))
    (folder / "m.py").write_text("x = 1\n")
    with pytest.raises(ModelError, match="not in the folder"):
        make(folder, remote_code=code_digest(folder))


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"takes": ()}, {"fuses": True}, {"pictures": "fused"}, {"max_tokens": 0}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SentenceTransformersOptions("model", **wrong)


def test_building_loads_no_torch(saved: Saved) -> None:
    assert isinstance(build_embedder(SentenceTransformersOptions(str(saved("bert")))), LocalEmbedder)
    # Nothing was loaded: the engine is made with the first vector.
    assert make(saved("bert"))._engine is None


def test_a_model_without_its_tokenizer_is_refused(saved: Saved, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved("bert"), tmp_path / "model"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        make(folder).embed_queries([Query.of("cat")])


def test_pickled_weights_that_are_none_are_told(saved: Saved, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved("bert"), tmp_path / "model"))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    with pytest.raises(ModelError, match="cannot be loaded"):
        make(folder).embed_queries([Query.of("cat")])


def test_loading_prints_nothing(saved: Saved, capfd: pytest.CaptureFixture[str]) -> None:
    folder = saved("bert")
    capfd.readouterr()
    make(folder).embed_queries([Query.of("cat")])
    assert capfd.readouterr() == ("", "")
