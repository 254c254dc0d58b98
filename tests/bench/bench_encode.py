"""Measure the engine of local models: how busy it keeps a model, its speed beside sentence-transformers.

    pip install 'mmrag[local]'
    python tests/bench/bench_encode.py [busy] [texts] [pictures] [mixed] [single] [--rounds 3] [--threads 2]

Models have random weights and about 10 million parameters, so that a CPU runs them soon; both sides load
the same files and give the same vectors, which is checked. The peer is called as its documentation does: one
`encode` over all inputs, pictures opened with PIL, in the best of three batch sizes and in its default one.
LLaVA-NeXT stands for models that see: for Qwen's, sentence-transformers needs torchvision. Sides take turns;
medians are reported, and the least and the most of the rounds, as others may be on the machine. CPU seconds
are those of all threads: they tell work that is saved from waiting that is saved.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmrag.embed.content import Content, Picture
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.engine.runner import Work
from mmrag.embed.engine.stream import Engine
from mmrag.embed.local import LocalEmbedder
from mmrag.embed.mllm.options import Form, MllmOptions, Pixels
from mmrag.testing.tiny import build_tiny

BATCHES = (8, 16, 32)
PEER_DEFAULT = 32
Input = str | Path


def main() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    parser = argparse.ArgumentParser(description="Measure the engine of local models.")
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=[*PARTS, []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 for its own choice")
    parser.add_argument(
        "--layers", type=int, default=8, help="of the language model; fewer for a slow machine"
    )
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--pictures", type=int, default=96)
    args = parser.parse_args()

    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch on {torch.get_num_threads()}\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        for part in args.parts:
            PARTS[part](Path(folder), args)


def busy(folder: Path, args: argparse.Namespace) -> None:
    """The share of wall time in which the model runs, while pictures are opened and texts tokenized."""
    embedder = qwen(folder, args.layers)
    inputs = mixed_inputs(folder, args)
    shares, slower = [], []
    for _ in range(args.rounds):
        engine, wall = timed(embedder, inputs)
        (work,) = engine.stats
        shares.append(work.busy_s / wall)
        slower.append(work.busy_s / alone(engine, inputs))
    print(f"busy: {show(shares, '.3f')} of wall time; {padding(work)}")
    print(f"      the model takes {show(slower, '.2f')} times as long as with everything prepared before\n")


def texts(folder: Path, args: argparse.Namespace) -> None:
    """Texts of 2 to 500 words."""
    against(
        causal(folder, args.layers),
        build(folder, "causal", args.layers),
        text_inputs(args.texts),
        "texts",
        args.rounds,
    )


def pictures(folder: Path, args: argparse.Namespace) -> None:
    """JPEG files of .1 to 5 megapixels, wide and high."""
    against(
        llava(folder, args.layers),
        build(folder, "llava_next", args.layers),
        picture_files(folder, args.pictures),
        "pictures",
        args.rounds,
    )


def mixed(folder: Path, args: argparse.Namespace) -> None:
    """Texts and pictures in turns, as a corpus has them."""
    against(
        llava(folder, args.layers),
        build(folder, "llava_next", args.layers),
        mixed_inputs(folder, args),
        "mixed",
        args.rounds,
    )


def single(folder: Path, args: argparse.Namespace) -> None:
    """One question: what the threads of a stream cost."""
    embedder = causal(folder, args.layers)
    question = ["who was the first to cross the river, and when?"]
    embed(embedder, question)
    engine = embedder._running()
    prepared = [engine.models[0].prepare(content(one)) for one in question]
    through, direct = [], []
    for _ in range(100):
        through.append(seconds(lambda: embed(embedder, question))[0])
        direct.append(seconds(lambda: engine.models[0].run(prepared))[0])
    print(
        f"single: {1000 * statistics.median(through):.2f} ms through the engine, "
        f"{1000 * statistics.median(direct):.2f} ms for the model alone\n"
    )


PARTS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "busy": busy,
    "texts": texts,
    "pictures": pictures,
    "mixed": mixed,
    "single": single,
}


def against(embedder: LocalEmbedder, model: Path, inputs: Sequence[Input], name: str, rounds: int) -> None:
    theirs = peer(model)
    check_equal(embedder, theirs, inputs[:: max(1, len(inputs) // 12)])
    sizes = {size: seconds(lambda s=size: ask(theirs, inputs, s))[0] for size in BATCHES}
    best = min(sizes, key=lambda size: sizes[size])
    ours_s, theirs_s = [], []
    default_s = []
    for _ in range(rounds):
        ours_s.append(seconds(lambda: embed(embedder, inputs)))
        theirs_s.append(seconds(lambda: ask(theirs, inputs, best)))
        default_s.append(seconds(lambda: ask(theirs, inputs, PEER_DEFAULT)))
    tried = ", ".join(f"{size}: {took:.1f} s" for size, took in sizes.items())
    print(f"{name}: {len(inputs)} inputs; batches of {best} for the peer (tried {tried})")
    for i, unit in enumerate(("wall", "CPU")):
        left, right = ([one[i] for one in side] for side in (ours_s, theirs_s))
        ratios = [right[at] / left[at] for at in range(rounds)]
        print(f"      {unit} s: {show(left, '.2f')}, peer {show(right, '.2f')}, ratio {show(ratios, '.2f')}")
    ratios = [default_s[at][0] / ours_s[at][0] for at in range(rounds)]
    print(f"      against its default batch of {PEER_DEFAULT}: wall ratio {show(ratios, '.2f')}")
    print(f"      {padding(embedder._running().stats[0])}\n", flush=True)


def timed(embedder: LocalEmbedder, inputs: Sequence[Input]) -> tuple[Engine, float]:
    """Return a fresh engine over the loaded model, after one run, and the wall time of that."""
    engine = Engine(embedder._running().models, EngineOptions())
    started = time.perf_counter()
    for one in engine.stream(map(content, inputs)):
        assert one.error is None, one.error
    return engine, time.perf_counter() - started


def alone(engine: Engine, inputs: Sequence[Input]) -> float:
    """Return how long the model runs when nothing else does: the same batches, prepared before."""

    class Ready:
        dim = engine.models[0].dim
        run = staticmethod(engine.models[0].run)
        count_tokens = staticmethod(engine.models[0].count_tokens)
        prepare = staticmethod(lambda content: done[content.parts])

    done = {(made := content(one)).parts: engine.models[0].prepare(made) for one in inputs}
    again = Engine([Ready()], EngineOptions(threads=1))
    list(again.stream(Content(parts, "document") for parts in done))
    return again.stats[0].busy_s


def peer(model: Path) -> Any:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    transformer = Transformer(str(model))
    pooling = Pooling(transformer.get_embedding_dimension(), "lasttoken")
    return SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")


def ask(theirs: Any, inputs: Sequence[Input], batch: int) -> np.ndarray:
    given = [one if isinstance(one, str) else Image.open(one) for one in inputs]
    return theirs.encode(given, batch_size=batch, show_progress_bar=False)


def embed(embedder: LocalEmbedder, inputs: Sequence[Input]) -> np.ndarray:
    found = []
    for one in embedder.embed_contents(map(content, inputs)):
        assert one.vectors is not None, one.error
        found.append(one.vectors[0])
    return np.stack(found)


def check_equal(embedder: LocalEmbedder, theirs: Any, inputs: Sequence[Input]) -> None:
    cosines = (embed(embedder, inputs) * ask(theirs, inputs, 4)).sum(axis=1)
    assert cosines.min() > 0.9999, f"the two sides embed different things: {cosines}"


def content(one: Input) -> Content:
    return Content((one if isinstance(one, str) else Picture(one.read_bytes),), "document")


def text_inputs(count: int) -> list[str]:
    """Lengths as in a corpus: many short ones, a tail of long ones."""
    rng = random.Random(0)
    words = ["a", "the", "river", "photo", "of", "find", "cat", "is", "France", "tower", "330", "red", "what"]
    return [
        " ".join(rng.choices(words, k=int(min(250, max(2, rng.lognormvariate(3.6, 1))))))
        for _ in range(count)
    ]


def picture_files(folder: Path, count: int) -> list[Path]:
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(exist_ok=True)
    paths = [folder / "pictures" / f"{i}.jpg" for i in range(count)]
    for path in paths:
        if path.exists():
            continue
        area, aspect = 10 ** rng.uniform(5, 6.7), 2 ** rng.uniform(-1, 1)
        width, height = int((area * aspect) ** 0.5), int((area / aspect) ** 0.5)
        # Blots with some grain compress as photographs do.
        blots = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        grain = rng.integers(-12, 12, (height, width, 1), np.int16)
        Image.fromarray((np.asarray(blots) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=88)
    return paths


def mixed_inputs(folder: Path, args: argparse.Namespace) -> list[Input]:
    inputs: list[Input] = [*text_inputs(args.pictures * 2), *picture_files(folder, args.pictures)]
    random.Random(1).shuffle(inputs)
    return inputs


def causal(folder: Path, layers: int) -> LocalEmbedder:
    return MllmOptions(
        model=str(build(folder, "causal", layers)), architecture="causal", rope="none", takes=("text",)
    ).build()


def llava(folder: Path, layers: int) -> LocalEmbedder:
    return MllmOptions(
        model=str(build(folder, "llava_next", layers)),
        architecture="llava_next",
        rope="none",
        image_token="<image>",
        query=Form(image="{image}", text="{text}"),
    ).build()


def qwen(folder: Path, layers: int) -> LocalEmbedder:
    return MllmOptions(
        model=str(build(folder, "qwen2_vl", layers)),
        architecture="qwen2_vl",
        pixels=Pixels(min=28 * 28 * 4, max=28 * 28 * 64),
    ).build()


def build(folder: Path, kind: str, layers: int) -> Path:
    """Write a model of 10 to 15 million parameters: the tiny one of the tests, made wider and deeper."""
    target = folder / kind
    if target.exists():
        return target
    import torch
    import transformers

    build_tiny(kind, target)
    config = transformers.AutoConfig.from_pretrained(target)
    text = config.get_text_config()
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 256, 1024, layers
    text.num_attention_heads, text.num_key_value_heads, text.head_dim = 16, 8, 16
    text.layer_types = ["full_attention"] * layers
    if kind == "qwen2_vl":
        vision = config.vision_config
        vision.depth, vision.embed_dim, vision.hidden_size = layers, 256, 256
        vision.num_heads, vision.mlp_ratio = 8, 4
    if kind == "llava_next":
        vision = config.vision_config
        vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers = 256, 1024, layers
        vision.num_attention_heads, vision.image_size = 8, 56
        config.image_grid_pinpoints = [[56, 112], [112, 56], [112, 112], [56, 168], [168, 56]]
        config.image_seq_length = 16
        processor = transformers.LlavaNextProcessor.from_pretrained(target)
        processor.image_processor.size = {"shortest_edge": 56}
        processor.image_processor.crop_size = {"height": 56, "width": 56}
        processor.image_processor.image_grid_pinpoints = config.image_grid_pinpoints
        processor.chat_template = (
            "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
            "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
        )
        processor.save_pretrained(target)
    torch.manual_seed(0)
    kinds = {"causal": "Qwen3ForCausalLM", "qwen2_vl": "Qwen2VLForConditionalGeneration"}
    model = getattr(transformers, kinds.get(kind, "LlavaNextForConditionalGeneration"))(config)
    model.save_pretrained(target)
    return target


def padding(work: Work) -> str:
    return (
        f"{work.batches} batches of {work.inputs / work.batches:.0f} inputs, "
        f"{1 - work.tokens / work.positions:.1%} of positions are padding"
    )


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the CPU time of all threads."""
    started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def show(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
