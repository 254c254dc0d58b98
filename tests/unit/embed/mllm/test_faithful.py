"""Every family's vector is that of a plain restatement: one input, no padding, the libraries' processors."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from mmrag.embed.content import Content, Picture
from mmrag.embed.mllm.model import MllmModel
from mmrag.embed.mllm.options import Form, Head, MllmOptions, Pixels, Pooling

WORDS = "a cat on a red sofa"
SIZES = ((120, 90), (48, 100))
MARKER = "\nQuery: "


@dataclass(frozen=True)
class Family:
    """A family's options, and how its inputs look when they are written by hand.

    `text`, `image`, `fused` and `two` are documents; `query` is a fused query that says "Find it.".
    """

    kind: str
    options: dict[str, Any]
    text: str
    image: str
    fused: str
    two: str
    query: str
    head: Callable[[], dict[str, torch.Tensor]] | None = None


IMG = "<|vision_start|><|image_pad|><|vision_end|>"
GME = "<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n{content}<|im_end|>\n"
GME += "<|im_start|>assistant\n<|endoftext|>"
GME_HELPFUL = GME.replace("{instruction}", "You are a helpful assistant.")
GME_FIND = GME.replace("{instruction}", "Find it.")
GME_OPTIONS = {
    "query": Form(wrap=GME, instruction="You are a helpful assistant."),
    "document": Form(wrap=GME, instruction="You are a helpful assistant.", takes_instruction=False),
}
EMB = "<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n<emb>.<|im_end|>\n"
EMB_OPTIONS = {
    "query": Form(
        wrap=EMB,
        text="{text}\nSummarize above sentence in one word: ",
        image="{image}\nSummarize above image in one word: ",
        fused="{image}{text}\nSummarize above image and sentence in one word: ",
        instruction_in="text",
    ),
    "pooling": Pooling("token_before", token="<emb>"),
}
EMB_STRINGS = {
    "text": EMB.replace("{content}", f"{WORDS}\nSummarize above sentence in one word: "),
    "image": EMB.replace("{content}", f"{IMG}\nSummarize above image in one word: "),
    "fused": EMB.replace("{content}", f"{IMG}{WORDS}\nSummarize above image and sentence in one word: "),
    "two": EMB.replace("{content}", f"{IMG}{IMG}{WORDS}\nSummarize above image and sentence in one word: "),
    "query": EMB.replace(
        "{content}", f"{IMG}Find it. {WORDS}\nSummarize above image and sentence in one word: "
    ),
}
SUMMARY = "{content}\nSummary in one word:<|im_end|>\n<|im_start|>assistant\n<|endoftext|>"
PLAIN = {
    "text": WORDS,
    "image": IMG,
    "fused": IMG + WORDS,
    "two": IMG * 2 + WORDS,
    "query": f"{IMG}Find it. {WORDS}",
}
LLAMA = "<|start_header_id|>user<|end_header_id|>\n\n{content}<|eot_id|>"
LLAMA += "<|start_header_id|>assistant<|end_header_id|>\n\n \n"
LLAVA = {"image_token": "<image>", "rope": "none"}
INST = "[INST] {content} [/INST]"


def wrapped(wrap: str, strings: dict[str, str]) -> dict[str, str]:
    return {name: wrap.replace("{content}", text) for name, text in strings.items()}


def residual() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {
        "mlp_head.linear_layer1.weight": torch.randn(96, 64) / 8,
        "mlp_head.linear_layer1.bias": torch.randn(96) / 8,
        "mlp_head.linear_layer2.weight": torch.randn(64, 96) / 8,
        "mlp_head.linear_layer2.bias": torch.randn(64) / 8,
    }


def linear() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {"project.weight": torch.randn(24, 64) / 8}


FAMILIES = {
    "gme": Family(
        "qwen2_vl",
        {**GME_OPTIONS, "rope": "sequential"},
        **{**wrapped(GME_HELPFUL, PLAIN), "query": GME_FIND.replace("{content}", IMG + WORDS)},
    ),
    "lamra": Family("qwen2_vl", {**EMB_OPTIONS, "rope": "sequential"}, **EMB_STRINGS),
    "lamra-qwen2.5": Family("qwen2_5_vl", EMB_OPTIONS, **EMB_STRINGS),
    "unite": Family(
        "qwen2_vl",
        {
            "query": Form(wrap=SUMMARY, instruction_in="text"),
            "rope": "sequential",
            "padding_side": "left",
        },
        **wrapped(SUMMARY, PLAIN),
    ),
    "abc": Family(
        "qwen2_vl",
        {
            "query": Form(instruction_in="text"),
            "rope": "sequential",
            "attention": "bidirectional",
            "pooling": Pooling("mean"),
            "head": Head("residual_mlp", prefix="mlp_head.", hidden=96),
        },
        **PLAIN,
        head=residual,
    ),
    "jina-v4": Family(
        "qwen2_5_vl",
        {
            "query": Form(instruction_in="text"),
            "pooling": Pooling("mean", image_kind="vision_span"),
            "padding_side": "left",
        },
        **PLAIN,
    ),
    "vlm2vec": Family("qwen2_vl", {"query": Form(instruction_in="text"), "padding_side": "left"}, **PLAIN),
    "qwen3": Family(
        "qwen3_vl",
        {"query": Form(wrap=SUMMARY, instruction_in="text"), "dims": (16, 64), "dim": 16},
        **wrapped(SUMMARY, PLAIN),
    ),
    "qwen3-projected": Family(
        "qwen3_vl",
        {
            "query": Form(instruction_in="text"),
            "padding_side": "left",
            "head": Head("linear", prefix="project.", hidden=24),
        },
        **PLAIN,
        head=linear,
    ),
    "e5-v": Family(
        "llava_next",
        {**LLAVA, "query": Form(wrap=LLAMA, instruction_in="text"), "padding_side": "left"},
        **{name: text.replace(IMG, "<image>") for name, text in wrapped(LLAMA, PLAIN).items()},
    ),
    "bge": Family(
        "llava_next_mistral",
        {
            **LLAVA,
            "query": Form(wrap=INST, fused="{text} \n {image}", instruction_in="text"),
            "padding_side": "left",
            "pixels": Pixels(squash=(40, 40)),
        },
        text=INST.replace("{content}", WORDS),
        image=INST.replace("{content}", "<image>"),
        fused=INST.replace("{content}", f"{WORDS} \n <image>"),
        two=INST.replace("{content}", f"{WORDS} \n <image><image>"),
        query=INST.replace("{content}", f"Find it. {WORDS} \n <image>"),
    ),
    "mm-embed": Family(
        "llava_next_mistral",
        {
            **LLAVA,
            "query": Form(
                wrap="Instruct: {instruction}\nQuery: {content}",
                bare="Query: {content}",
                fused="{image}\n{text}",
            ),
            "document": Form(fused="{image}\n{text}", takes_instruction=False),
            "add_special_tokens": True,
            "attention": "bidirectional",
            "pooling": Pooling("mean", without_instruction=MARKER),
            "pixels": Pixels(first_view=True),
            "head": Head("latent_attention", prefix="latent_model.", latents=5, heads=2, head_dim=8),
        },
        text=WORDS,
        image="<image>",
        fused=f"<image>\n{WORDS}",
        two=f"<image><image>\n{WORDS}",
        query=f"Instruct: Find it.\nQuery: <image>\n{WORDS}",
    ),
    "words": Family(
        "causal",
        {"rope": "none", "takes": ("text",), "query": Form(wrap=SUMMARY), "padding_side": "left"},
        **wrapped(SUMMARY, PLAIN),
    ),
}


class Restated:
    """The libraries' own classes, used as their documentation does, for one input at a time."""

    def __init__(self, folder: Path, options: MllmOptions, latent: SimpleNamespace) -> None:
        self.options = options
        self.latent = latent
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModel.from_pretrained(folder).eval()
        self.llava = options.architecture == "llava_next"
        self.folder = folder

    def __call__(self, text: str, images: list[Image.Image], *, masked: int = 0) -> np.ndarray[Any, Any]:
        options = self.options
        if options.pixels.squash:
            images = [image.resize(options.pixels.squash) for image in images]
        with torch.no_grad():
            ids, states = self._llava(text, images) if self.llava else self._qwen(text, images)
            vector = self._head(self._pool(ids, states, masked=masked, has_picture=bool(images)))
            vector = vector / vector.norm()
            if options.dim:
                vector = vector[: options.dim] / vector[: options.dim].norm()
        return vector.numpy()

    def _ids(self, text: str) -> torch.Tensor:
        special = self.options.add_special_tokens
        return self.tokenizer(text, add_special_tokens=special, return_tensors="pt").input_ids

    def _mask(self, ids: torch.Tensor) -> torch.Tensor:
        """An additive mask written by hand, [1, 1, tokens, tokens]."""
        count = ids.shape[1]
        hidden = torch.full((count, count), torch.finfo(torch.float32).min).triu(1)
        return (hidden if self.options.attention == "causal" else torch.zeros(count, count))[None, None]

    def _qwen(self, text: str, images: list[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
        seen: dict[str, Any] = {}
        if images:
            processor = transformers.AutoImageProcessor.from_pretrained(self.folder)
            seen = dict(processor(images=images, return_tensors="pt"))
            for grid in seen["image_grid_thw"]:
                text = text.replace("<|image_pad|>", "<|video_pad|>" * (int(grid.prod()) // 4), 1)
            text = text.replace("<|video_pad|>", "<|image_pad|>")
        ids = self._ids(text)
        positions = torch.arange(ids.shape[1])[None]
        if self.options.rope == "mrope" and images:
            types = (ids == self.model.config.image_token_id).int()
            positions, _ = self.model.get_rope_index(ids, types, image_grid_thw=seen["image_grid_thw"])
        elif self.options.rope != "none":
            positions = positions.expand(3, 1, -1)
        states = self.model(ids, attention_mask=self._mask(ids), position_ids=positions, **seen)
        return ids[0], states.last_hidden_state[0]

    def _llava(self, text: str, images: list[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
        if not images:
            ids = self._ids(text)
            return ids[0], self.model(ids, attention_mask=self._mask(ids)).last_hidden_state[0]
        processor = transformers.LlavaNextProcessor.from_pretrained(self.folder)
        seen = processor(
            text=text, images=images, return_tensors="pt", add_special_tokens=self.options.add_special_tokens
        )
        if not self.options.pixels.first_view:
            seen["attention_mask"] = self._mask(seen["input_ids"])
            return seen["input_ids"][0], self.model(**seen).last_hidden_state[0]
        hidden = self.model.vision_tower(seen["pixel_values"][:, 0], output_hidden_states=True).hidden_states
        whole = self.model.multi_modal_projector(hidden[-2][:, 1:])
        packed, lengths = self.model.pack_image_features(
            [one[None] for one in whole], seen["image_sizes"], "default", self.model.image_newline
        )
        ids = self._ids(text.replace("<image>", "<image>" * int(lengths[0])))
        embedded = self.model.get_input_embeddings()(ids)
        embedded[ids == self.model.config.image_token_id] = torch.cat(packed)
        out = self.model.language_model(inputs_embeds=embedded, attention_mask=self._mask(ids))
        return ids[0], out.last_hidden_state[0]

    def _pool(
        self, ids: torch.Tensor, states: torch.Tensor, *, masked: int, has_picture: bool
    ) -> torch.Tensor:
        pooling = self.options.pooling
        at = self.tokenizer.get_vocab()
        if self.options.head.kind == "latent_attention":
            given = self.latent.tensors(width=64, latents=5, inner=16)
            states = self.latent.attention(states, given, heads=2)
        if has_picture and pooling.image_kind == "vision_span":
            starts = (ids == at["<|vision_start|>"]).nonzero().flatten().tolist()
            ends = (ids == at["<|vision_end|>"]).nonzero().flatten().tolist()
            spans = [states[start : end + 1] for start, end in zip(starts, ends, strict=True)]
            return torch.cat(spans).mean(0)
        if pooling.kind == "token_before":
            return states[int((ids == at["<emb>"]).nonzero()[0]) - 1]
        return states[-1] if pooling.kind == "last" else states[masked:].mean(0)

    def _head(self, vector: torch.Tensor) -> torch.Tensor:
        if self.options.head.kind == "residual_mlp":
            w1, b1, w2, b2 = residual().values()
            return vector + w2 @ torch.selu(w1 @ vector + b1) + b2
        if self.options.head.kind == "linear":
            return linear()["project.weight"] @ vector
        return vector


@pytest.fixture(scope="session")
def family_of(
    tiny: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    loaded: Callable[..., MllmModel],
    latent: SimpleNamespace,
) -> Callable[[str], tuple[MllmOptions, MllmModel, Restated]]:
    """Return the options, our model and the restated one of a family."""
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("families")
    found: dict[str, tuple[MllmOptions, MllmModel, Restated]] = {}

    def of(name: str) -> tuple[MllmOptions, MllmModel, Restated]:
        if name not in found:
            family = FAMILIES[name]
            folder = tiny(family.kind)
            tensors = family.head() if family.head else {}
            if name == "mm-embed":
                given = latent.tensors(width=64, latents=5, inner=16)
                tensors = {f"latent_model.{key}": tensor for key, tensor in given.items()}
            if tensors:
                folder = Path(shutil.copytree(folder, root / name))
                save_file(tensors, folder / "head.safetensors")
            architecture: Any = family.kind.removesuffix("_mistral")
            options = MllmOptions(model=str(folder), architecture=architecture, **family.options)
            found[name] = options, loaded(options), Restated(folder, options, latent)
        return found[name]

    return of


def inputs(
    family: Family, picture_of: Callable[..., Picture], draw: Callable[..., Image.Image]
) -> list[tuple[Content, str, list[Image.Image]]]:
    """Each input, its text written by hand, and its pictures."""
    pictures = [picture_of(*size, seed) for seed, size in enumerate(SIZES)]
    images = [draw(*size, seed) for seed, size in enumerate(SIZES)]
    found = [(Content((WORDS,), "document"), family.text, images[:0])]
    if family.kind != "causal":
        found += [
            (Content((pictures[0],), "document"), family.image, images[:1]),
            (Content((pictures[0], WORDS), "document"), family.fused, images[:1]),
            (Content((*pictures, WORDS), "document"), family.two, images),
            (Content((pictures[0], WORDS), "query", "Find it."), family.query, images[:1]),
        ]
    return found


def vectors(model: MllmModel, contents: list[Content]) -> np.ndarray[Any, Any]:
    return model.run([model.prepare(content) for content in contents])


@pytest.mark.parametrize("name", FAMILIES)
def test_vectors_are_those_of_a_restatement(name, family_of, picture_of, draw) -> None:
    _, model, restated = family_of(name)
    given = inputs(FAMILIES[name], picture_of, draw)
    found = vectors(model, [content for content, _, _ in given])
    for vector, (content, text, images) in zip(found, given, strict=True):
        masked = 0
        if name == "mm-embed" and content.role == "query":
            # As the published code counts: the part before the marker, with its own BOS and EOS.
            masked = len(restated.tokenizer(text.split(MARKER)[0]).input_ids)
        expected = restated(text, images, masked=masked)
        assert np.abs(vector - expected).max() < 1e-5
    assert found.dtype == np.float32
    assert found.shape[1] == model.dim


@pytest.mark.parametrize("name", FAMILIES)
def test_a_vector_depends_on_no_batch_and_no_padding(name, family_of, mixed, loaded) -> None:
    options, model, _ = family_of(name)
    contents = mixed(pictures=FAMILIES[name].kind != "causal")
    together = vectors(model, contents)
    some = list(range(0, len(contents), 3))
    alone = np.concatenate([vectors(model, [contents[at]]) for at in some])
    assert np.abs(together[some] - alone).max() < 1e-5
    assert np.array_equal(together, vectors(model, contents))
    other = replace(options, padding_side="left" if options.padding_side == "right" else "right")
    assert np.abs(vectors(loaded(other), contents) - together).max() < 1e-5
