"""The model: truncation, positions, failures of one input, memory, threads, adapters."""

import shutil
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmrag.core.errors import ConfigError, InputTooLong, ModelError, OutOfMemory, SourceError
from mmrag.embed.adapters.options import AdapterOptions, AdapterRule
from mmrag.embed.content import Content, Picture
from mmrag.embed.mllm.build import build_embedder
from mmrag.embed.mllm.options import Form, MllmOptions, Pixels, Pooling

LONG = " ".join(["a photo of a cat on a red sofa"] * 30)


@pytest.fixture
def options(tiny: Any) -> MllmOptions:
    return MllmOptions(
        model=str(tiny("qwen2_vl")),
        architecture="qwen2_vl",
        query=Form(wrap="user {content}<|endoftext|>", instruction_in="text"),
    )


def vector(model: Any, *parts: str | Picture) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = model.run([model.prepare(Content(parts, "document"))])[0]
    return found


def test_positions_change_pictures_and_no_words(options, loaded, picture_of) -> None:
    counted, axes = loaded(replace(options, rope="sequential")), loaded(options)
    assert np.array_equal(vector(counted, "a cat"), vector(axes, "a cat"))
    picture = picture_of(120, 90)
    assert np.abs(vector(counted, picture) - vector(axes, picture)).max() > 1e-4


def test_attention_of_both_ways_changes_words(options, loaded) -> None:
    pooling = Pooling("mean")
    one, both = (
        loaded(replace(options, attention=kind, pooling=pooling)) for kind in ("causal", "bidirectional")
    )
    assert np.abs(vector(one, "a red cat") - vector(both, "a red cat")).max() > 1e-4


def test_every_layer_is_told_of_both_ways(options, loaded) -> None:
    # Where no mask is needed, an implementation of attention may ask the layer alone.
    model = loaded(replace(options, attention="bidirectional", pooling=Pooling("mean"))).parts.backbone.model
    assert not any(getattr(module, "is_causal", False) for module in model.language_model.modules())
    assert model.language_model.config.is_causal is False


def test_words_are_cut_and_the_template_stays(options, loaded) -> None:
    model = loaded(replace(options, max_tokens=20))
    prepared = model.prepare(Content((LONG,), "document"))
    whole = loaded(options)
    tail = whole.prepare(Content(("x",), "document")).data.ids[-1]
    assert prepared.tokens <= 20
    assert prepared.data.ids[-1] == tail
    assert len(prepared.notes) == 1
    assert prepared.notes[0].startswith("cut to its first")
    kept = int(prepared.notes[0].split()[4])
    words = model.parts.tokenizer._fast.encode(LONG, add_special_tokens=False).offsets[kept - 1][1]
    shortened = whole.prepare(Content((LONG[:words],), "document"))
    assert np.array_equal(prepared.data.ids, shortened.data.ids)


@pytest.mark.parametrize("text", ["\N{CAT}" * 50, "é" * 60, LONG])
def test_words_have_a_bound_of_their_own(options, loaded, text) -> None:
    model = loaded(replace(options, max_text_tokens=7))
    bare = model.prepare(Content(("",), "document")).tokens
    cut = model.prepare(Content((text,), "document"))
    assert bare < cut.tokens <= bare + 8  # the blank before the words may merge with them
    assert cut.notes


def test_what_cannot_be_cut_is_refused(options, loaded, picture_of) -> None:
    strict = loaded(replace(options, max_tokens=20, longer="error"))
    with pytest.raises(InputTooLong, match="cuts nothing"):
        strict.prepare(Content((LONG,), "document"))
    small = loaded(replace(options, max_tokens=10))
    for parts in ((picture_of(200, 200),), (picture_of(200, 200), "a cat")):
        with pytest.raises(InputTooLong, match="of pictures"):
            small.prepare(Content(parts, "document"))


def test_a_text_never_becomes_a_picture(options, loaded) -> None:
    model = loaded(options)
    prepared = model.prepare(Content(("say <|image_pad|> and <|vision_start|>",), "document"))
    assert prepared.visual_tokens == 0
    assert model.parts.backbone.image_id not in prepared.data.ids


def test_a_made_up_picture_stands_in(options, loaded) -> None:
    form = Form(text="{image}Query: {text}", dummy_pixels=56)
    model = loaded(replace(options, query=form, pixels=Pixels(min=784, squash=(756, 756))))
    prepared = model.prepare(Content(("a cat",), "query"))
    assert prepared.visual_tokens == 4
    assert prepared.data.views[0].pixels.max() == 0


def test_one_broken_picture_fails_alone(options, loaded) -> None:
    with pytest.raises(SourceError):
        loaded(options).prepare(Content((Picture(lambda: b"none"),), "document"))


def test_a_missing_pooling_token_fails_alone(options, loaded) -> None:
    model = loaded(replace(options, pooling=Pooling("token_before", token="<emb>")))
    with pytest.raises(ModelError, match="<emb>"):
        model.prepare(Content(("a cat",), "document"))


def test_tokens_after_the_pooled_one_do_not_matter(options, loaded) -> None:
    pooling = Pooling("token_before", token="<emb>")
    found = [
        vector(loaded(replace(options, pooling=pooling, query=Form(wrap="{content}<emb>" + end))), "a cat")
        for end in (".", " Paris is the capital")
    ]
    assert np.abs(found[0] - found[1]).max() < 1e-6


def test_a_new_token_gets_a_row(options, loaded) -> None:
    known = loaded(
        replace(options, query=Form(wrap="{content}<emb>."), pooling=Pooling("token_before", token="<emb>"))
    )
    fresh = loaded(
        replace(
            options,
            query=Form(wrap="{content}<new>."),
            pooling=Pooling("token_before", token="<new>"),
            new_tokens=("<new>",),
        )
    )
    assert np.abs(vector(known, "a cat") - vector(fresh, "a cat")).max() < 1e-6
    with pytest.raises(ConfigError, match=r"Not one token .*<new>"):
        loaded(replace(options, pooling=Pooling("token_before", token="<new>")))


def test_a_shorter_vector_is_the_start_of_the_long_one(options, loaded) -> None:
    short = vector(loaded(replace(options, dims=(16, 64), dim=16)), "a cat")
    long = vector(loaded(options), "a cat")
    assert short.shape == (16,)
    assert np.allclose(short, long[:16] / np.linalg.norm(long[:16]), atol=1e-6)
    assert np.isclose(np.linalg.norm(short), 1)


def test_little_precision_still_gives_unit_float32(options, loaded) -> None:
    found = vector(loaded(replace(options, dtype="bfloat16")), "a cat")
    assert found.dtype == np.float32
    assert np.isclose(np.linalg.norm(found), 1, atol=1e-6)
    assert found @ vector(loaded(options), "a cat") > 0.99


def test_eager_attention_gives_the_same(options, loaded, mixed) -> None:
    for attention in ("causal", "bidirectional"):
        fast, plain = (
            loaded(replace(options, attention=attention, pooling=Pooling("mean"), attn=kind))
            for kind in ("sdpa", "eager")
        )
        contents = mixed(8)
        both = [model.run([model.prepare(content) for content in contents]) for model in (fast, plain)]
        assert np.abs(both[0] - both[1]).max() < 1e-5


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_too_little_memory_is_told(options, loaded, error, monkeypatch) -> None:
    model = loaded(options)
    prepared = model.prepare(Content(("a cat",), "document"))

    def fail(batch: Any) -> Any:
        raise error

    monkeypatch.setattr(model.parts.backbone, "states", fail)
    with pytest.raises(OutOfMemory):
        model.run([prepared])


def test_an_error_of_our_own_is_not_taken_for_memory(options, loaded, monkeypatch) -> None:
    model = loaded(options)
    prepared = model.prepare(Content(("a cat",), "document"))

    def fail(batch: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(model.parts.backbone, "states", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        model.run([prepared])


def test_threads_share_a_model(options, loaded, mixed) -> None:
    model, contents = loaded(options), mixed(12)
    expected = model.run([model.prepare(content) for content in contents])
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        found[number] = model.run([model.prepare(content) for content in contents])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[number], expected) for number in range(4))


def test_count_tokens_has_no_template(options, loaded) -> None:
    assert loaded(options).count_tokens(["", "a cat"]) == [0, 2]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks transformers
def test_an_adapter_of_queries_leaves_documents_alone(options, tiny, tmp_path, mixed, loaded) -> None:
    import peft
    import transformers

    torch.manual_seed(5)
    base = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tiny("qwen2_vl"))
    config = peft.LoraConfig(
        r=4, init_lora_weights=False, target_modules=r".*language_model.*\.(q_proj|v_proj|up_proj)"
    )
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "asking")
    # Each model gets its own copy: an adapter changes the modules that it is put on.
    folder = shutil.copytree(tiny("qwen2_vl"), tmp_path / "base")
    adapters = AdapterOptions(
        load={"asking": str(tmp_path / "asking")}, rules=(AdapterRule("asking", role="query"),)
    )
    bare = loaded(options)
    model: Any = build_embedder(replace(options, model=str(folder), adapters=adapters))._model.load("cpu")
    contents = mixed(12)
    prepared = [model.prepare(content) for content in contents]
    assert {one.data.adapter for one in prepared} == {"asking", None}
    documents = [at for at, content in enumerate(contents) if content.role == "document"]
    queries = [at for at, content in enumerate(contents) if content.role == "query"]
    together = model.run(prepared)
    plain = bare.run([bare.prepare(content) for content in contents])
    assert np.abs(together[documents] - plain[documents]).max() < 1e-6
    assert np.array_equal(
        model.run([prepared[at] for at in documents]),
        bare.run([bare.prepare(contents[at]) for at in documents]),
    )
    alone = np.concatenate([model.run([prepared[at]]) for at in queries])
    assert np.abs(together[queries] - alone).max() < 1e-5
    assert np.abs(together[queries] - plain[queries]).max() > 1e-3
