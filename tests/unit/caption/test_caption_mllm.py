"""Descriptions by tiny models: their words mean nothing, but must be those of one picture alone."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmrag.caption import MllmCaptionOptions
from mmrag.caption.generator import load_generator
from mmrag.caption.mllm import MllmCaptioner
from mmrag.core.errors import ConfigError, Corrupt, ModelError, NotFound, OutOfMemory, Unsupported
from mmrag.core.protocols import Captioner
from mmrag.media.pictures import open_picture, upright
from mmrag.testing.samples import picture_of

Tiny = Callable[[str], Path]
QWEN = "<|im_start|>user\n{image}{prompt}<|im_end|>\n<|im_start|>assistant\n"
WRITTEN = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>the cat<|im_end|>\n<|im_start|>assistant\n"
)
LLAVA = "<|start_header_id|>user<|end_header_id|>\n{image}\n{prompt}<|eot_id|>"
TEMPLATES = {"qwen2_vl": QWEN, "qwen2_5_vl": QWEN, "qwen3_vl": QWEN, "llava_next": LLAVA}
PICTURES = [
    picture_of("A2", width=300, height=120),
    picture_of("B7 and more", "C", width=120, height=300, encoding="JPEG"),
    picture_of("Z", width=64, height=64),
]


def options(tiny: Tiny, kind: str, **more: Any) -> MllmCaptionOptions:
    given = {"template": TEMPLATES[kind], "max_new_tokens": 6, "objects": False, "prompt": "the cat", **more}
    return MllmCaptionOptions(str(tiny(kind)), **given)


def alone(folder: Path, picture: bytes, text: str) -> str:
    """Say it again with nothing but transformers: no cache, no batch, positions by its own function."""
    import torch
    import transformers

    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = images(images=[upright(open_picture(picture, max_pixels=10**8))], return_tensors="pt")
    token = "<|image_pad|>"
    expanded = text.replace(token, token * (int(pixels["image_grid_thw"].prod()) // images.merge_size**2))
    ids = tokenizer(expanded, return_tensors="pt", add_special_tokens=False)["input_ids"]
    start = ids.shape[1]
    with torch.inference_mode():
        while ids.shape[1] < start + 6:
            kinds = (ids == model.config.image_token_id).int()
            positions, _ = model.model.get_rope_index(ids, kinds, pixels["image_grid_thw"])
            logits = model(input_ids=ids, position_ids=positions, use_cache=False, **pixels).logits
            ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
            if ids[0, -1] == tokenizer.eos_token_id:
                break
    return str(tokenizer.decode(ids[0, start:], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen3_vl"])
def test_the_words_are_those_of_the_model_alone(tiny: Tiny, kind: str) -> None:
    found = MllmCaptioner(options(tiny, kind)).describe(PICTURES)
    assert found == [alone(tiny(kind), picture, WRITTEN) for picture in PICTURES]
    assert len(set(found)) > 1, "words that no picture changes prove nothing"


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_the_batch_does_not_matter(tiny: Tiny, kind: str) -> None:
    captioner = MllmCaptioner(options(tiny, kind))
    assert isinstance(captioner, Captioner)
    together = captioner.describe(PICTURES)
    assert len(together) == len(PICTURES)
    assert together == [captioner.describe([picture])[0] for picture in PICTURES]
    assert together == MllmCaptioner(options(tiny, kind, batch_items=1)).describe(PICTURES)


def test_a_bad_picture_fails_alone(tiny: Tiny) -> None:
    captioner = MllmCaptioner(options(tiny, "qwen2_vl"))
    narrow = picture_of("x", width=2000, height=2)
    found = captioner.describe([b"no picture", PICTURES[0], narrow, PICTURES[1]])
    assert isinstance(found[0], Corrupt)
    assert isinstance(found[2], Unsupported)
    assert [found[1], found[3]] == captioner.describe(PICTURES[:2])
    assert isinstance(captioner.describe([b"no picture"])[0], Corrupt)
    assert captioner.describe([]) == []


def test_too_little_memory_halves_the_batch(tiny: Tiny) -> None:
    """A generator that holds one picture at most, around the real one."""
    captioner = MllmCaptioner(options(tiny, "qwen2_vl"))
    wanted = captioner.describe(PICTURES)
    real = captioner._loaded
    assert real is not None
    sizes: list[int] = []

    class Small:
        def answer(self, pictures: Any) -> list[str]:
            sizes.append(len(pictures))
            if len(pictures) > 1:
                raise OutOfMemory("too many", fix="fewer")
            return real.answer(pictures)

    captioner._loaded = Small()
    assert captioner.describe(PICTURES) == wanted
    assert sizes == [3, 1, 2, 1, 1]
    sizes.clear()
    captioner.describe(PICTURES)
    assert sizes == [1, 1, 1]


def test_the_checkpoints_own_template_is_used(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny("qwen2_vl"), folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    own = MllmCaptionOptions(str(folder), prompt="the cat", max_new_tokens=6, objects=False)
    assert load_generator(own, folder).prompt == WRITTEN
    assert MllmCaptioner(own).describe(PICTURES) == MllmCaptioner(options(tiny, "qwen2_vl")).describe(
        PICTURES
    )


def test_without_any_template_it_says_so(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="chat template") as caught:
        MllmCaptioner(options(tiny, "qwen2_vl", template=None)).describe(PICTURES)
    assert caught.value.where == "template"


def test_what_is_no_captioner_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="describes pictures"):
        MllmCaptioner(MllmCaptionOptions(str(tiny("bert")))).describe(PICTURES)
    with pytest.raises(NotFound):
        MllmCaptioner(MllmCaptionOptions(str(tmp_path / "none"))).describe(PICTURES)


def test_a_checkpoint_with_holes_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny("qwen2_vl"), folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors[next(name for name in tensors if name.endswith("layers.0.mlp.up_proj.weight"))]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 tensor"):
        MllmCaptioner(MllmCaptionOptions(str(folder), template=QWEN)).describe(PICTURES)


def test_the_identity_names_model_and_prompt(tiny: Tiny) -> None:
    base = MllmCaptioner(options(tiny, "qwen2_vl")).identity
    assert base.startswith("mllm qwen2_vl revision=")
    assert MllmCaptioner(options(tiny, "qwen2_vl", batch_items=1, device="cpu")).identity == base
    for other in ({"prompt": "x"}, {"max_new_tokens": 7}, {"max_side": 9}, {"template": "{image}"}):
        assert MllmCaptioner(options(tiny, "qwen2_vl", **other)).identity != base
    assert MllmCaptioner(options(tiny, "qwen3_vl")).identity != base


@pytest.mark.parametrize("wrong", [{"max_new_tokens": 0}, {"batch_items": 0}, {"template": "no place"}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        MllmCaptionOptions("model", **wrong)


def test_what_is_missing_is_found_before_anything_is_loaded(tiny: Tiny, tmp_path: Path) -> None:
    def verdicts(model: str) -> dict[str, str]:
        return {found.name: found.verdict for found in MllmCaptionOptions(model).check()}

    assert verdicts(str(tiny("qwen2_vl"))) == {"torch": "ok", "transformers": "ok", "model": "ok"}
    assert verdicts("someone/captioner")["model"] == "missing"
    (tmp_path / "config.json").write_text("{}")
    assert verdicts(str(tmp_path))["model"] == "missing"
    (tmp_path / "config.json").write_text("{torn")
    assert verdicts(str(tmp_path))["model"] == "broken"


@pytest.fixture
def folder(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("qwen2_vl"), tmp_path / "model"))


def test_a_model_without_its_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        load_generator(MllmCaptionOptions(str(folder), template="{image}{prompt}"), folder)


def test_a_configuration_of_another_size_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
    with pytest.raises(ModelError, match="hidden_size 8192, and the weights have 64"):
        load_generator(MllmCaptionOptions(str(folder), template="{image}{prompt}"), folder)


def test_pickled_weights_that_are_none_are_told(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    with pytest.raises(ModelError, match="cannot be loaded as a model that describes pictures"):
        load_generator(MllmCaptionOptions(str(folder), template="{image}{prompt}"), folder)


def test_a_token_that_is_no_place_for_a_picture_is_refused(folder: Path) -> None:
    options = MllmCaptionOptions(str(folder), template="{image}{prompt}", image_token="<picture>")
    with pytest.raises(ConfigError, match="own token for a picture once"):
        load_generator(options, folder)


def test_a_captioner_that_is_not_here_is_named_as_such() -> None:
    with pytest.raises(NotFound) as caught:
        MllmCaptioner(MllmCaptionOptions("someone/nothing")).identity  # noqa: B018
    assert "`model` of the captioner" in caught.value.fix
    assert "--model" not in caught.value.fix
