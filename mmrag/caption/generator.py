"""Load a multimodal LLM with transformers and let it answer about pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmrag.caption.options import MllmCaptionOptions
from mmrag.core.checkpoint import check_sizes, check_tokenizer, loading
from mmrag.core.errors import ConfigError, ModelError
from mmrag.core.lazy import require
from mmrag.core.memory import memory_errors
from mmrag.core.weights import read_config

if TYPE_CHECKING:
    from PIL.Image import Image

_QWEN = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl"})
_QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_FEATURE = "Describing pictures"
_LESS_MEMORY = "Lower `batch_items` or `max_side`, or take a smaller model."


@dataclass(frozen=True, slots=True)
class Generator:
    """A loaded model with what makes its inputs; used by one thread at a time.

    `processor` is None for the Qwen families: theirs needs torchvision, so tokens and pixels are made here.
    """

    options: MllmCaptionOptions
    model: Any
    tokenizer: Any
    images: Any
    processor: Any
    prompt: str

    def answer(self, pictures: Sequence[Image]) -> list[str]:
        """Return what the model says about each picture, by its likeliest tokens.

        Raises:
            OutOfMemory: The device has too little memory for so many.
        """
        torch = require("torch", extra="local", feature=_FEATURE)
        with memory_errors(len(pictures), "picture", fix=_LESS_MEMORY), torch.inference_mode():
            inputs = {name: value.to(self.model.device) for name, value in self._inputs(pictures).items()}
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
            found = self.model.generate(
                **inputs,
                max_new_tokens=self.options.max_new_tokens,
                do_sample=False,
                num_beams=1,
                # A checkpoint's own settings of sampling would be warned about.
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=_pad(self.tokenizer),
            )
        said = found[:, inputs["input_ids"].shape[1] :]
        return [str(text) for text in self.tokenizer.batch_decode(said, skip_special_tokens=True)]

    def _inputs(self, pictures: Sequence[Image]) -> dict[str, Any]:
        if self.processor is not None:
            texts = [self.prompt] * len(pictures)
            made = self.processor(
                images=[[picture] for picture in pictures], text=texts, padding=True, return_tensors="pt"
            )
            return dict(made)
        pixels = dict(self.images(images=list(pictures), return_tensors="pt"))
        merge = self.images.merge_size**2
        texts = [
            self.prompt.replace("<|image_pad|>", "<|image_pad|>" * (int(grid.prod()) // merge))
            for grid in pixels["image_grid_thw"]
        ]
        tokens = dict(
            self.tokenizer(
                texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt"
            )
        )
        tokens.pop("token_type_ids", None)
        # Without them the pictures get the positions of words, and nothing says so.
        tokens["mm_token_type_ids"] = (tokens["input_ids"] == self.model.config.image_token_id).int()
        return {**tokens, **pixels}


def load_generator(options: MllmCaptionOptions, folder: Path) -> Generator:
    """Load a model onto its device.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ModelError: The checkpoint lacks weights or cannot be loaded.
        ConfigError: There is no such device, no template, or no place for the picture in it.
    """
    torch = require("torch", extra="local", feature=_FEATURE)
    transformers = require("transformers", extra="local", feature=_FEATURE)
    device = _device(torch, options.device)
    dtype = options.dtype
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    qwen = read_config(folder).get("model_type") in _QWEN
    local = {"local_files_only": True, "trust_remote_code": False}
    check_tokenizer(folder)
    fix = "Give a checkpoint of the task image-text-to-text, whole."
    with loading(folder, purpose="a model that describes pictures", fix=fix):
        check_sizes(folder, transformers.AutoConfig.from_pretrained(folder, **local))
        model, info = transformers.AutoModelForImageTextToText.from_pretrained(
            folder, dtype=getattr(torch, dtype), output_loading_info=True, **local
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        processor = None if qwen else transformers.AutoProcessor.from_pretrained(folder, **local)
        images = (
            transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **local) if qwen else None
        )
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"The checkpoint lacks {len(missing)} tensors, {missing[0]} among them.", fix="Download it again."
        )
    if processor is not None:
        # What is generated follows the prompt: pads stand before it.
        processor.tokenizer.padding_side = "left"
    prompt = _prompt(options, processor or tokenizer, _QWEN_PICTURE if qwen else "<image>")
    if qwen:
        _check_place(tokenizer, prompt, model.config.image_token_id)
    return Generator(options, model.to(device).eval(), tokenizer, images, processor, prompt)


def _prompt(options: MllmCaptionOptions, templated: Any, picture: str) -> str:
    if options.template is not None:
        given = options.template.replace("{image}", options.image_token or picture)
        return given.replace("{prompt}", options.prompt)
    if not getattr(templated, "chat_template", None):
        raise ConfigError(
            "The checkpoint has no chat template.",
            fix="Write the whole input into `template`, with {image} and {prompt}.",
            where="template",
        )
    content = [{"type": "image"}, {"type": "text", "text": options.prompt}]
    turns = [{"role": "user", "content": content}]
    return str(templated.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _check_place(tokenizer: Any, prompt: str, image_id: int) -> None:
    ids: list[int] = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if "<|image_pad|>" not in prompt or ids.count(image_id) != 1:
        raise ConfigError(
            "The input does not hold the model's own token for a picture once.",
            fix=f"Leave image_token out: it is {_QWEN_PICTURE}, and the tokenizer must know it.",
            where="image_token",
        )


def _device(torch: Any, wanted: str) -> str:
    if not wanted:
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"There is no device {wanted!r}.", fix="Give cpu, or leave it out.", where="device")
    return wanted


def _pad(tokenizer: Any) -> int:
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
