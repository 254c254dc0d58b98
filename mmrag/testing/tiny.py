"""Tiny models of the real architectures with random weights, built offline: for plumbing, not quality."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmrag.core.errors import UnknownName, did_you_mean
from mmrag.core.lazy import require
from mmrag.testing.tiny_tokenizer import SENTENCES, qwen_tokenizer, tiny_tokenizer

_WIDTH = 64
_LAYERS = 2
_HEADS: dict[str, int] = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": _LAYERS}


def build_tiny(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a model, its tokenizer and its image processor into a folder, as a checkpoint has them.

    Args:
        kind: One of `TINY_MODELS`.
        folder: Where to; it is made.
        seed: Of the weights.

    Raises:
        UnknownName: There is no such kind.
        MissingExtra: torch or transformers is not installed.
    """
    if kind not in TINY_MODELS:
        raise UnknownName(f"There is no tiny model {kind!r}.", fix=did_you_mean(kind, TINY_MODELS))
    # No network: the files are made here.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch = require("torch", extra="local", feature="A tiny model")
    transformers = require("transformers", extra="local", feature="A tiny model")
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        parts = TINY_MODELS[kind](transformers)
    finally:
        torch.random.set_rng_state(state)
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(name) for key, name in names.items()}


def _qwen_text(tokenizer: Any, section: list[int], **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": section, **more},
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        **_HEADS,
    }


def _qwen2_vl(t: Any) -> tuple[Any, ...]:
    tokenizer = qwen_tokenizer()
    vision = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": _WIDTH,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    config = t.Qwen2VLConfig(
        text_config=_qwen_text(tokenizer, [2, 3, 3]), vision_config=vision, **_qwen_ids(tokenizer)
    )
    return t.Qwen2VLForConditionalGeneration(config), _qwen_images(t), tokenizer


_QWEN_TOWER = {
    "depth": 2,
    "hidden_size": 32,
    "out_hidden_size": _WIDTH,
    "intermediate_size": 64,
    "num_heads": 2,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def _qwen2_5_vl(t: Any) -> tuple[Any, ...]:
    tokenizer = qwen_tokenizer()
    vision = {**_QWEN_TOWER, "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    config = t.Qwen2_5_VLConfig(
        text_config=_qwen_text(tokenizer, [2, 3, 3]), vision_config=vision, **_qwen_ids(tokenizer)
    )
    return t.Qwen2_5_VLForConditionalGeneration(config), _qwen_images(t), tokenizer


def _qwen3_vl(t: Any) -> tuple[Any, ...]:
    tokenizer = qwen_tokenizer()
    vision = {
        **_QWEN_TOWER,
        "patch_size": 16,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    text = {**_qwen_text(tokenizer, [4, 2, 2], mrope_interleaved=True), "head_dim": 16}
    config = t.Qwen3VLConfig(text_config=text, vision_config=vision, **_qwen_ids(tokenizer))
    images = t.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 64 * 64, "longest_edge": 32 * 32 * 64},
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return t.Qwen3VLForConditionalGeneration(config), images, tokenizer


def _qwen_images(t: Any) -> Any:
    return t.Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 64})


def _llava_next(t: Any, *, mistral: bool = False) -> tuple[Any, ...]:
    special = (
        "<unk>",
        "<image>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "[INST]",
        "[/INST]",
    )
    tokenizer = tiny_tokenizer(
        special,
        around=mistral,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    text = {
        "model_type": "mistral" if mistral else "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "max_position_embeddings": 4096,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **_HEADS,
    }
    if mistral:
        text["sliding_window"] = None
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "projection_dim": 32,
    }
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    config = t.LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
        image_seq_length=4,
    )
    images = t.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints
    )
    processor = t.LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return t.LlavaNextForConditionalGeneration(config), processor


def _llava_next_mistral(t: Any) -> tuple[Any, ...]:
    return _llava_next(t, mistral=True)


def _causal(t: Any) -> tuple[Any, ...]:
    tokenizer = qwen_tokenizer()
    config = t.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        head_dim=16,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **_HEADS,
    )
    return t.Qwen3ForCausalLM(config), tokenizer


_BERT = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def _bert(t: Any) -> tuple[Any, ...]:
    tokenizer = tiny_tokenizer((), around=True, **_BERT)
    config = t.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=128, pad_token_id=tokenizer.pad_token_id, **_SMALL
    )
    return t.BertModel(config), tokenizer


def _clip(t: Any) -> tuple[Any, ...]:
    tokenizer = tiny_tokenizer(
        (), around=True, bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<pad>"
    )
    tokenizer.model_max_length = 77
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **_SMALL,
    }
    vision = {"image_size": 32, "patch_size": 8, **_SMALL}
    config = t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    images = t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return t.CLIPModel(config), t.CLIPProcessor(images, tokenizer)


def _siglip2(t: Any) -> tuple[Any, ...]:
    # AutoTokenizer makes a Siglip2Tokenizer whatever the files say, and the processor insists on patches of
    # 16 and at most 256 of them: the tiny model has to be like that.
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    trained.train_from_iterator([text.replace(" ", "▁") for text in SENTENCES * 3], trainer)
    found = json.loads(trained.to_str())["model"]
    tokenizer = t.Siglip2Tokenizer(vocab=found["vocab"], merges=[tuple(merge) for merge in found["merges"]])
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "projection_size": 32,
        **_SMALL,
        **ids,
    }
    config = t.Siglip2Config(text_config=text, vision_config={"num_patches": 256, "patch_size": 16, **_SMALL})
    return t.Siglip2Model(config), t.Siglip2Processor(t.Siglip2ImageProcessorPil(), tokenizer)


def _blip(t: Any) -> tuple[Any, ...]:
    tokenizer = tiny_tokenizer(("[DEC]", "[ENC]"), around=True, **_BERT)
    text = {
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 32,
        "max_position_embeddings": 128,
        "projection_dim": 24,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        **_SMALL,
    }
    # Its own default of 1e-10 would leave every picture alike.
    vision = {"image_size": 32, "patch_size": 8, "projection_dim": 24, "initializer_range": 0.02, **_SMALL}
    config = t.BlipConfig(
        text_config=text, vision_config=vision, projection_dim=24, image_text_hidden_size=24
    )
    images = t.BlipImageProcessorPil(size={"height": 32, "width": 32})
    return t.BlipForImageTextRetrieval(config), t.BlipProcessor(images, tokenizer)


def _clap(t: Any) -> tuple[Any, ...]:
    tokenizer = tiny_tokenizer(
        (),
        around=True,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 130,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": 24,
        **_SMALL,
    }
    audio = {
        "hidden_size": 64,
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1, 1],
        "num_attention_heads": [1, 2, 4],
        "num_hidden_layers": 3,
        "num_classes": 4,
        "spec_size": 64,
        "window_size": 4,
        "num_mel_bins": 16,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "enable_fusion": False,
        "projection_dim": 24,
    }
    config = t.ClapConfig(text_config=text, audio_config=audio, projection_dim=24)
    features = t.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=16000,
        max_length_s=2,
        fft_window_size=256,
        hop_length=128,
        frequency_max=8000,
        truncation="rand_trunc",
        padding="repeatpad",
    )
    return t.ClapModel(config), t.ClapProcessor(features, tokenizer)


TINY_MODELS: Mapping[str, Callable[[Any], tuple[Any, ...]]] = {
    "bert": _bert,
    "blip": _blip,
    "causal": _causal,
    "clap": _clap,
    "clip": _clip,
    "llava_next": _llava_next,
    "llava_next_mistral": _llava_next_mistral,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_vl": _qwen2_vl,
    "qwen3_vl": _qwen3_vl,
    "siglip2": _siglip2,
}
"""The kinds of `build_tiny`: model types of real checkpoints; `llava_next_mistral` has Mistral inside."""
