"""Tokenizers of tiny models, trained on a few sentences."""

from __future__ import annotations

from typing import Any

from mmrag.core.lazy import require

SENTENCES = (
    "a photo of a cat on a red sofa",
    "find an image that matches the caption",
    "the tower is 330 metres tall",
    "Represent the given image. Represent the query for retrieving documents.",
    "summarize the image in one word",
    "yes no true false query document user assistant system you are a helpful assistant",
    "What is the capital of France? Paris is the capital. 0 1 2 3 4 5 6 7 8 9",
)
_QWEN = (
    "<|im_start|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<emb>",
)


def tiny_tokenizer(special: tuple[str, ...], *, around: bool = False, **named: Any) -> Any:
    """A byte-level BPE tokenizer; `around` puts the cls and sep (or bos and eos) tokens around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    transformers = require("transformers", extra="local", feature="A tiny model")
    tokenizer = Tokenizer(models.BPE(unk_token=named.get("unk_token")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(dict.fromkeys((*named.values(), *special))),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    if around:
        first = named.get("cls_token") or named["bos_token"]
        last = named.get("sep_token") or named["eos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}",
            pair=f"{first} $A {last} $B {last}",
            special_tokens=[(first, tokenizer.token_to_id(first)), (last, tokenizer.token_to_id(last))],
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=2048, **named)


def qwen_tokenizer() -> Any:
    """The tokenizer of the Qwen families, with the marks of pictures."""
    # The pad token comes first: id 0 is then no letter.
    return tiny_tokenizer(_QWEN, pad_token="<|endoftext|>", eos_token="<|im_end|>")
