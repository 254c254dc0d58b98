"""Load a checkpoint as an embedder, and refuse one that is not whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmrag.core.checkpoint import check_sizes, check_tokenizer, loading
from mmrag.core.errors import ConfigError, InputTooLong, ModelError
from mmrag.core.lazy import require
from mmrag.core.weights import read_config
from mmrag.embed.content import Content, Role
from mmrag.embed.mllm.backbones import Backbone, Causal, LlavaNext, QwenVl, see_both_ways
from mmrag.embed.mllm.heads import HeadStep, make_head
from mmrag.embed.mllm.model import MllmModel, Parts
from mmrag.embed.mllm.options import Head, MllmOptions
from mmrag.embed.mllm.pooling import Marks
from mmrag.embed.mllm.render import render
from mmrag.embed.mllm.tensors import read_tensors
from mmrag.embed.mllm.tokens import Tokenizer
from mmrag.embed.mllm.wanted import wanted

if TYPE_CHECKING:
    from mmrag.embed.adapters.bank import AdapterBank

_CLASSES = {
    "qwen2_vl": ("Qwen2VLConfig", "Qwen2VLForConditionalGeneration", "Qwen2VLImageProcessorPil"),
    "qwen2_5_vl": ("Qwen2_5_VLConfig", "Qwen2_5_VLForConditionalGeneration", "Qwen2VLImageProcessorPil"),
    "qwen3_vl": ("Qwen3VLConfig", "Qwen3VLForConditionalGeneration", "Qwen2VLImageProcessorPil"),
    "llava_next": ("LlavaNextConfig", "LlavaNextForConditionalGeneration", "LlavaNextImageProcessorPil"),
}
"""Of `transformers`.

With the language head, although it is dropped: `Qwen2VLModel` of 5.23 takes a checkpoint's `model.visual` for
a part of the language model. The image processors are Pillow's: torchvision's resize gives other pixels.
"""

_LISTED = 5


def load_model(options: MllmOptions, folder: Path, dim: int, device: str) -> MllmModel:
    """Load a model onto a device.

    Args:
        options: The recipe.
        folder: The checkpoint.
        dim: The length of a vector.
        device: Such as `cpu` or `cuda:0`.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ModelError: The checkpoint lacks weights or its tokenizer, or is of another architecture.
        ConfigError: The tokenizer does not know the recipe's tokens, or max_tokens leaves no room for words.
        AdapterMismatch: An adapter does not fit.
    """
    transformers = require("transformers", extra="local", feature="A local model")
    check_tokenizer(folder)
    with loading(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        model, images = _modules(options, folder, device)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ModelError(
            f"The tokenizer in {folder} has no tokenizer.json.", fix="Download the whole checkpoint again."
        )
    _end_as_told(tokenizer, folder)
    _add_tokens(tokenizer, model, options)
    bank = _bank(options, folder, model)
    if options.attention == "bidirectional":
        see_both_ways(model if options.architecture == "causal" else model.language_model)
    backbone = _backbone(model, images, options)
    _check_tokens(tokenizer, backbone.image_id, options)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    parts = Parts(
        backbone=backbone,
        tokenizer=Tokenizer(tokenizer, options, backbone.image_id),
        head=_head(options.head, folder, bank, device),
        marks=_marks(tokenizer, model.config, options),
        # A pad beyond the embedding matrix, such as an added one, would be an index error.
        pad_id=pad_id if pad_id is not None and pad_id < _rows(model) else 0,
        bank=bank,
    )
    loaded = MllmModel(parts, options, dim)
    _check_room(loaded, options)
    return loaded


def _modules(options: MllmOptions, folder: Path, device: str) -> tuple[Any, Any]:
    torch = require("torch", extra="local", feature="A local model")
    transformers = require("transformers", extra="local", feature="A local model")
    dtype = options.dtype
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    settings = {
        "dtype": getattr(torch, dtype),
        "attn_implementation": "sdpa" if options.attn == "auto" else options.attn,
        "local_files_only": True,
        "output_loading_info": True,
    }
    images = None
    if options.architecture == "causal":
        found = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        check_sizes(folder, found)
        model, report = transformers.AutoModel.from_pretrained(folder, trust_remote_code=False, **settings)
    else:
        config_class, model_class, images_class = (
            getattr(transformers, name) for name in _CLASSES[options.architecture]
        )
        # The architecture's own classes, whatever the checkpoint calls itself: no repository's code runs.
        told = read_config(folder)
        for name in ("model_type", "auto_map"):
            told.pop(name, None)
        config = config_class.from_dict(told)
        check_sizes(folder, config)
        whole, report = model_class.from_pretrained(folder, config=config, **settings)
        model = whole.model
        images = images_class.from_pretrained(folder, local_files_only=True)
    _check_whole(report, folder)
    return model.to(device).eval(), images


def _check_whole(report: Mapping[str, Any], folder: Path) -> None:
    # The language head is not used, and a checkpoint may have been saved without it.
    missing = sorted(name for name in report.get("missing_keys", ()) if not name.startswith("lm_head."))
    if missing:
        shown = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
        raise ModelError(
            f"The checkpoint in {folder} lacks {len(missing)} weights: {shown}.",
            fix="Download the whole checkpoint, or use the recipe of its architecture.",
        )


def _end_as_told(tokenizer: Any, folder: Path) -> None:
    """Let the tokenizer put its end behind every input if its settings say so.

    transformers before 5 did, whatever tokenizer.json said; later ones follow tokenizer.json alone.
    """
    path = folder / "tokenizer_config.json"
    if not path.is_file() or not read_config(folder, path.name).get("add_eos_token"):
        return
    fast, end = tokenizer.backend_tokenizer, tokenizer.eos_token_id
    whole, bare = fast.encode("a"), fast.encode("a", add_special_tokens=False)
    if end is None or whole.ids[-1] == end:
        return
    processors = require("tokenizers", extra="local", feature="A local model").processors
    # One template: of two in a sequence the second does nothing.
    marks = [*whole.tokens[: len(whole.ids) - len(bare.ids)], str(tokenizer.eos_token)]
    fast.post_processor = processors.TemplateProcessing(
        single=[*marks[:-1], "$A", marks[-1]],
        special_tokens=[(mark, fast.token_to_id(mark)) for mark in dict.fromkeys(marks)],
    )


def _add_tokens(tokenizer: Any, model: Any, options: MllmOptions) -> None:
    known = tokenizer.get_vocab()
    lacking = [token for token in options.new_tokens if token not in known]
    if not lacking:
        return
    torch = require("torch", extra="local", feature="A local model")
    tokenizer.add_tokens(lacking, special_tokens=True)
    before = _rows(model)
    if len(tokenizer) > before:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        # The state of a new token is never read; zeros are the same on every machine.
        with torch.no_grad():
            model.get_input_embeddings().weight[before:] = 0


def _check_tokens(tokenizer: Any, image_id: int | None, options: MllmOptions) -> None:
    fast = tokenizer.backend_tokenizer

    def read(text: str) -> list[int]:
        found: list[int] = fast.encode(text, add_special_tokens=False).ids
        return found

    split = [token for token in wanted(options).tokens if len(read(token)) != 1]
    if split:
        raise ConfigError(
            f"Not one token of this model's tokenizer: {', '.join(split)}.",
            fix="Use the recipe of this model, or list tokens that are to be added under new_tokens.",
        )
    if "image" in options.takes and read(options.image_token).count(image_id or 0) != 1:
        raise ConfigError(
            f"{options.image_token!r} does not hold the model's own token for a picture once.",
            fix=f"The token is {tokenizer.convert_ids_to_tokens(image_id)!r}.",
            where="image_token",
        )


def _check_room(model: MllmModel, options: MllmOptions) -> None:
    """Refuse a length that nothing fits into."""
    roles: tuple[Role, ...] = ("query", "document")
    for role in roles if "text" in options.takes else ():
        rendered, parts = render(Content(("a",), role), options), model.parts
        side = rendered.dummy_pixels
        try:
            tokens = parts.tokenizer.encode(rendered, [parts.backbone.see(None, side).tokens] if side else [])
        except InputTooLong as error:
            raise _no_room(options, role) from error
        if tokens.notes:
            raise _no_room(options, role)


def _no_room(options: MllmOptions, role: Role) -> ConfigError:
    return ConfigError(
        f"max_tokens {options.max_tokens} leaves no room for words in the template of a {role}.",
        fix="Give more.",
        where="max_tokens",
    )


def _rows(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _bank(options: MllmOptions, folder: Path, model: Any) -> AdapterBank | None:
    if options.adapters.empty:
        return None
    from mmrag.core.weights import fingerprint
    from mmrag.embed.adapters.bank import AdapterBank

    return AdapterBank.attach(model, options.adapters, fingerprint(folder))


def _backbone(model: Any, images: Any, options: MllmOptions) -> Backbone:
    if options.architecture == "causal":
        return Causal(model)
    if options.architecture == "llava_next":
        return LlavaNext(model, images, options)
    return QwenVl(model, images, options)


def _head(head: Head, folder: Path, bank: AdapterBank | None, device: str) -> HeadStep:
    if head.kind == "none":
        return HeadStep()
    merged = {} if bank is None else bank.extra_tensors
    tensors = {
        name.removeprefix(head.prefix): tensor.to(device)
        for name, tensor in merged.items()
        if name.startswith(head.prefix)
    }
    if not tensors and head.prefix:
        tensors = read_tensors(folder, head.prefix, device)
    return make_head(head, tensors)


def _marks(tokenizer: Any, config: Any, options: MllmOptions) -> Marks:
    pooling = options.pooling
    token = None if pooling.token is None else tokenizer.get_vocab().get(pooling.token)
    if "token_before" in (pooling.kind, pooling.image_kind) and token is None:
        raise ConfigError(
            f"The tokenizer has no token {pooling.token!r}, which the pooling looks for.",
            fix="Add it to new_tokens in the recipe.",
            where="pooling",
        )
    start, end = (getattr(config, f"vision_{at}_token_id", None) for at in ("start", "end"))
    if "vision_span" in (pooling.kind, pooling.image_kind) and start is None:
        raise ConfigError(
            "The model marks no pictures, and the pooling looks for their marks.",
            fix="Choose another pooling.",
            where="pooling",
        )
    return Marks(token, start, end)
