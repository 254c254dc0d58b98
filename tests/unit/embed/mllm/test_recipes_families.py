"""Every shipped MLLM recipe writes what its model was trained on, byte for byte."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mmrag.core.errors import UnsupportedModality
from mmrag.embed.content import Content, Picture
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.mllm.render import render
from mmrag.recipes import load_index, show

FAMILIES = {
    "gme": ("gme-qwen2-vl-2b", "gme-qwen2-vl-7b"),
    "mm-embed": ("mm-embed",),
    "lamra": ("lamra-ret", "lamra-ret-qwen2.5"),
    "e5-v": ("e5-v",),
    "jina": ("jina-v4",),
    "unite": ("unite-base-2b", "unite-base-7b", "unite-instruct-2b", "unite-instruct-7b"),
    "abc": ("abc",),
    "vlm2vec": ("vlm2vec-v2", "vlm2vec-qwen2-vl-2b", "vlm2vec-qwen2-vl-7b"),
    "vlm2vec-llava": ("vlm2vec-llava-next",),
    "bge": ("bge-vl-mllm-s1", "bge-vl-mllm-s2", "bge-vl-v1.5-zs", "bge-vl-v1.5-mmeb"),
    "qwen3": ("qwen3-vl-embedding-2b", "qwen3-vl-embedding-8b"),
    "dse": ("dse-qwen2-2b",),
}
FAMILY = {name: family for family, names in FAMILIES.items() for name in names}
TINY = {
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "llava_next": "llava_next_mistral",
}

PICTURE = Picture(lambda: b"")
WORDS = "a red cat"
INSTRUCTION = "find it"
INPUTS = {
    "text": (WORDS,),
    "image": (PICTURE,),
    "fused": (PICTURE, WORDS),
    "two images": (PICTURE, PICTURE),
}
CASES = ("instructed", "query", "document")

USER = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
SEEN = "<|vision_start|><|image_pad|><|vision_end|>"
BARE = "<|image_pad|>"
GME = "<|im_end|>\n<|im_start|>assistant\n<|endoftext|>"
LAMRA = "<|im_end|>\n<|im_start|>assistant\n<emb>.<|im_end|>\n"
E5 = "<|start_header_id|>user<|end_header_id|>\n\n"
E5_END = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n \n"
FOUND = "<|im_start|>system\nfind it<|im_end|>\n<|im_start|>user\n"
QWEN3 = "<|im_start|>system\nfind it.<|im_end|>\n<|im_start|>user\n"
QWEN3_QUERY = (
    "<|im_start|>system\nRetrieve images or text relevant to the user's query.<|im_end|>\n<|im_start|>user\n"
)
QWEN3_DOCUMENT = "<|im_start|>system\nRepresent the user's input.<|im_end|>\n<|im_start|>user\n"
BGE = "[INST] \n <instruct> find it <query> "
BGE_BARE = "[INST] \n <instruct>  <query> "
JINA = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe the image.<|im_end|>\n"
DSE_END = "<|im_end|>\n<|endoftext|>"

# In the order of INPUTS; None where the family refuses.
GOLDEN: dict[tuple[str, str], tuple[str | None, ...]] = {
    ("gme", "instructed"): (
        f"{FOUND}a red cat{GME}",
        f"{FOUND}{SEEN}{GME}",
        f"{FOUND}{SEEN}a red cat{GME}",
        f"{FOUND}{SEEN}{SEEN}{GME}",
    ),
    ("gme", "query"): (
        f"{USER}a red cat{GME}",
        f"{USER}{SEEN}{GME}",
        f"{USER}{SEEN}a red cat{GME}",
        f"{USER}{SEEN}{SEEN}{GME}",
    ),
    ("mm-embed", "instructed"): (
        "Instruct: find it\nQuery: a red cat",
        "Instruct: find it\nQuery: <image>\n",
        "Instruct: find it\nQuery: <image>\na red cat",
        "Instruct: find it\nQuery: <image>\n<image>\n",
    ),
    ("mm-embed", "query"): (
        "Query: a red cat",
        "Query: <image>\n",
        "Query: <image>\na red cat",
        "Query: <image>\n<image>\n",
    ),
    ("mm-embed", "document"): ("a red cat", "<image>\n", "<image>\na red cat", "<image>\n<image>\n"),
    ("lamra", "instructed"): (
        f"{USER}Find it. a red cat.\nSummarize above sentence in one word: {LAMRA}",
        f"{USER}{SEEN}Find it.\nSummarize above image and sentence in one word: {LAMRA}",
        f"{USER}{SEEN}Find it. a red cat.\nSummarize above image and sentence in one word: {LAMRA}",
        f"{USER}{SEEN}{SEEN}Find it.\nSummarize above image and sentence in one word: {LAMRA}",
    ),
    ("lamra", "query"): (
        f"{USER}A red cat.\nSummarize above sentence in one word: {LAMRA}",
        f"{USER}{SEEN}\nSummarize above image in one word: {LAMRA}",
        f"{USER}{SEEN}A red cat.\nSummarize above image and sentence in one word: {LAMRA}",
        f"{USER}{SEEN}{SEEN}\nSummarize above image in one word: {LAMRA}",
    ),
    ("e5-v", "query"): (
        f"{E5}a red cat\nSummary above sentence in one word: {E5_END}",
        f"{E5}<image>\nSummary above image in one word: {E5_END}",
        f'{E5}<image>Modify this image with "a red cat", desribe modified image in one word:{E5_END}',
        f"{E5}<image><image>\nSummary above image in one word: {E5_END}",
    ),
    ("e5-v", "document"): (
        f"{E5}a red cat\nSummary above sentence in one word: {E5_END}",
        f"{E5}<image>\nSummary above image in one word: {E5_END}",
        f"{E5}<image>a red cat\nSummary above image and sentence in one word: {E5_END}",
        f"{E5}<image><image>\nSummary above image in one word: {E5_END}",
    ),
    ("jina", "query"): ("Query: a red cat", JINA, None, None),
    ("jina", "document"): ("Passage: a red cat", JINA, None, None),
    ("unite", "instructed"): (
        f"{USER}find it a red cat\nSummary above sentence in one word:{GME}",
        f"{USER}{SEEN}find it\nSummary above sentence and image in one word:{GME}",
        f"{USER}{SEEN}find it a red cat\nSummary above sentence and image in one word:{GME}",
        f"{USER}{SEEN}{SEEN}find it\nSummary above sentence and image in one word:{GME}",
    ),
    ("unite", "query"): (
        f"{USER}a red cat\nSummary above sentence in one word:{GME}",
        f"{USER}{SEEN}\nSummary above image in one word:{GME}",
        f"{USER}{SEEN}a red cat\nSummary above sentence and image in one word:{GME}",
        f"{USER}{SEEN}{SEEN}\nSummary above image in one word:{GME}",
    ),
    ("abc", "instructed"): (
        f"{USER}find it a red cat<|im_end|>\n<|im_start|>assistant\n",
        f"{USER}{SEEN}Instruction: find it<|im_end|>\n<|im_start|>assistant\n",
        f"{USER}{SEEN}Instruction: find it a red cat<|im_end|>\n<|im_start|>assistant\n",
        f"{USER}{SEEN}{SEEN}Instruction: find it<|im_end|>\n<|im_start|>assistant\n",
    ),
    ("abc", "query"): (
        f"{USER}a red cat<|im_end|>\n<|im_start|>assistant\n",
        f"{USER}{SEEN}<|im_end|>\n<|im_start|>assistant\n",
        f"{USER}{SEEN}Instruction: a red cat<|im_end|>\n<|im_start|>assistant\n",
        f"{USER}{SEEN}{SEEN}<|im_end|>\n<|im_start|>assistant\n",
    ),
    ("vlm2vec", "instructed"): (
        "find it a red cat",
        f"{BARE}\nfind it",
        f"{BARE}\nfind it a red cat",
        f"{BARE}{BARE}\nfind it",
    ),
    ("vlm2vec", "query"): (
        "a red cat",
        f"{BARE}\nRepresent the given image.",
        f"{BARE}\na red cat",
        f"{BARE}{BARE}\nRepresent the given image.",
    ),
    ("vlm2vec-llava", "instructed"): (
        "find it a red cat",
        "<image>\nfind it",
        "<image>\nfind it a red cat",
        "<image><image>\nfind it",
    ),
    ("vlm2vec-llava", "query"): (
        "a red cat",
        "<image>\nRepresent the given image.",
        "<image>\na red cat",
        "<image><image>\nRepresent the given image.",
    ),
    ("bge", "instructed"): (
        f"{BGE} a red cat \n [/INST]",
        f"{BGE} <image> [/INST]",
        f"{BGE} a red cat \n <image> [/INST]",
        f"{BGE} <image> <image> [/INST]",
    ),
    ("bge", "query"): (
        f"{BGE_BARE} a red cat \n [/INST]",
        f"{BGE_BARE} <image> [/INST]",
        f"{BGE_BARE} a red cat \n <image> [/INST]",
        f"{BGE_BARE} <image> <image> [/INST]",
    ),
    ("bge", "document"): (
        "[INST]  a red cat \n [/INST]",
        "[INST]  <image> [/INST]",
        "[INST]  a red cat \n <image> [/INST]",
        "[INST]  <image> <image> [/INST]",
    ),
    ("qwen3", "instructed"): (
        f"{QWEN3}a red cat{GME}",
        f"{QWEN3}{SEEN}{GME}",
        f"{QWEN3}{SEEN}a red cat{GME}",
        f"{QWEN3}{SEEN}{SEEN}{GME}",
    ),
    ("qwen3", "query"): (
        f"{QWEN3_QUERY}a red cat{GME}",
        f"{QWEN3_QUERY}{SEEN}{GME}",
        f"{QWEN3_QUERY}{SEEN}a red cat{GME}",
        f"{QWEN3_QUERY}{SEEN}{SEEN}{GME}",
    ),
    ("qwen3", "document"): (
        f"{QWEN3_DOCUMENT}a red cat{GME}",
        f"{QWEN3_DOCUMENT}{SEEN}{GME}",
        f"{QWEN3_DOCUMENT}{SEEN}a red cat{GME}",
        f"{QWEN3_DOCUMENT}{SEEN}{SEEN}{GME}",
    ),
    ("dse", "query"): (
        f"{USER}{SEEN}Query: a red cat{DSE_END}",
        f"{USER}{SEEN}What is shown in this image?{DSE_END}",
        None,
        f"{USER}{SEEN}{SEEN}What is shown in this image?{DSE_END}",
    ),
    ("dse", "document"): (
        f"{USER}{SEEN}Document: a red cat{DSE_END}",
        f"{USER}{SEEN}What is shown in this image?{DSE_END}",
        None,
        f"{USER}{SEEN}{SEEN}What is shown in this image?{DSE_END}",
    ),
}
# These families write a document as a query without an instruction, and these know no instruction.
for family in ("gme", "lamra", "unite", "abc", "vlm2vec", "vlm2vec-llava"):
    GOLDEN[family, "document"] = GOLDEN[family, "query"]
for family in ("e5-v", "jina", "dse"):
    GOLDEN[family, "instructed"] = GOLDEN[family, "query"]


def _options(name: str) -> MllmOptions:
    options = load_index(name).embedder
    assert isinstance(options, MllmOptions)
    return options


def _content(kind: str, case: str, **more: str) -> Content:
    if case == "document":
        return Content(INPUTS[kind], "document", **more)
    return Content(INPUTS[kind], "query", INSTRUCTION if case == "instructed" else None, **more)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FAMILY)
def test_what_a_recipe_writes_is_byte_exact(name: str, case: str) -> None:
    options = _options(name)
    for kind, golden in zip(INPUTS, GOLDEN[FAMILY[name], case], strict=True):
        content = _content(kind, case)
        if golden is None:
            with pytest.raises(UnsupportedModality):
                render(content, options)
            continue
        rendered = render(content, options)
        assert rendered.text == golden
        pictures = sum(isinstance(part, Picture) for part in content.parts)
        assert len(rendered.pictures) == pictures
        assert rendered.text.count(options.image_token) == (pictures or bool(rendered.dummy_pixels))
        if rendered.text_span is not None:
            start, end = rendered.text_span
            assert rendered.text[start:end].strip(".").casefold() == WORDS


@pytest.mark.parametrize("name", FAMILY)
def test_the_tokenizer_sees_template_and_pictures_as_tokens_and_words_as_words(
    name: str, tiny: Callable[[str], Path]
) -> None:
    from tokenizers import Tokenizer

    options = _options(name)
    kind = "llava_next" if name == "e5-v" else TINY[options.architecture]
    tokenizer = Tokenizer.from_file(str(tiny(kind) / "tokenizer.json"))
    specials = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    rude = "".join(sorted(specials))
    golden = GOLDEN[FAMILY[name], "query"][0]
    assert golden is not None

    def count(text: str) -> dict[str, int]:
        tokens = tokenizer.encode(text, add_special_tokens=False).tokens
        return {token: tokens.count(token) for token in specials}

    assert (
        tokenizer.encode(render(Content((WORDS,), "query"), options, specials).text).ids
        == tokenizer.encode(golden).ids
    )
    rendered = render(Content((rude,), "query"), options, specials)
    assert count(rendered.text) == count(golden)
    assert rendered.notes


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gme", "last sequential causal left 1800 200704 1003520 3136 12845056"),
        ("mm-embed", "mean none bidirectional right 2048 None None None None"),
        ("lamra", "token_before sequential causal left 1024 3136 235200 None None"),
        ("e5-v", "last none causal left 8192 None None None None"),
        ("jina", "mean mrope causal right 32768 None 602112 None None"),
        ("unite", "last sequential causal left 2048 200704 1003520 3136 12845056"),
        ("abc", "mean sequential bidirectional right 4096 200704 802816 3136 12845056"),
        ("vlm2vec", "last sequential causal right 4096 3136 1003520 None None"),
        ("vlm2vec-llava", "last none causal left 8192 None None None None"),
        ("bge", "last none causal left 8192 None None None None"),
        ("qwen3", "last mrope causal right 8192 4096 1843200 None None"),
        ("dse", "last mrope causal left 4096 784 2007040 None None"),
    ],
)
def test_pooling_positions_and_pixels_are_the_cards(family: str, settings: str) -> None:
    for name in FAMILIES[family]:
        options = _options(name)
        pixels = options.pixels
        found = (
            options.pooling.kind,
            options.rope,
            options.attention,
            options.padding_side,
            options.max_tokens,
            pixels.min,
            pixels.max,
            pixels.fetch_min,
            pixels.fetch_max,
        )
        expected = settings.replace("sequential", "mrope") if name == "lamra-ret-qwen2.5" else settings
        assert " ".join(map(str, found)) == expected, name


def test_what_is_particular_to_a_family() -> None:
    assert _options("lamra-ret").pooling.token == "<emb>"
    assert _options("lamra-ret").new_tokens == ("<emb>",)
    assert _options("lamra-ret").max_text_tokens == 480
    assert _options("jina-v4").pooling.image_kind == "vision_span"
    assert _options("jina-v4").dims == (128, 256, 512, 1024, 2048)
    assert _options("mm-embed").pixels.first_view
    assert _options("mm-embed").head.kind == "latent_attention"
    assert _options("mm-embed").max_text_tokens == 512
    assert (_options("abc").head.kind, _options("abc").head.hidden) == ("residual_mlp", 4096)
    assert _options("bge-vl-mllm-s1").pixels.squash == (512, 512)
    assert _options("dse-qwen2-2b").pixels.squash == (756, 756)
    assert _options("qwen3-vl-embedding-8b").dims[-1] == 4096
    tokenizer_adds = {name for name in FAMILY if _options(name).add_special_tokens}
    assert tokenizer_adds == {"mm-embed", "e5-v", "vlm2vec-llava-next", *FAMILIES["bge"]}


def test_mm_embed_leaves_the_instruction_of_queries_out_of_the_mean() -> None:
    options = _options("mm-embed")
    assert render(_content("fused", "instructed"), options).instruction_prefix == "Instruct: find it"
    assert render(_content("fused", "query"), options).instruction_prefix is None
    assert render(_content("fused", "document"), options).instruction_prefix is None


def test_bge_keeps_the_blank_at_the_end_of_its_task() -> None:
    rendered = render(_content("fused", "query", task="composed"), _options("bge-vl-mllm-s1"))
    assert rendered.text == (
        "[INST] \n <instruct> Retrieve the target image that best meets the combined criteria by using both "
        "the provided image and the image retrieval instructions:  <query>  a red cat \n <image> [/INST]"
    )


def test_jina_writes_both_sides_alike_for_text_matching() -> None:
    options = _options("jina-v4")
    for case in ("query", "document"):
        assert render(_content("text", case, task="text-matching"), options).text == "Query: a red cat"
        code = render(_content("text", case, task="code"), options).text
        assert code == {"query": "Query: a red cat", "document": "Passage: a red cat"}[case]


def test_dse_adds_a_picture_to_words_alone() -> None:
    options = _options("dse-qwen2-2b")
    assert render(_content("text", "query"), options).dummy_pixels == 56
    assert render(_content("image", "query"), options).dummy_pixels == 0


def test_qwen3_writes_null_for_nothing() -> None:
    rendered = render(Content((" ",), "document"), _options("qwen3-vl-embedding-2b"))
    assert rendered.text == f"{QWEN3_DOCUMENT}NULL{GME}"
    assert rendered.text_span is None


def test_abc_and_jina_choose_adapters_by_what_comes_in() -> None:
    abc, jina = _options("abc").adapters, _options("jina-v4").adapters
    assert abc.default is None
    assert [(rule.adapter, rule.role, set(rule.modalities)) for rule in abc.rules] == [
        ("instruct", "query", {"text", "image"})
    ]
    assert {rule.task: rule.adapter for rule in jina.rules} == {
        task: task for task in ("retrieval", "text-matching", "code")
    }
    instructed = render(_content("image", "instructed"), _options("abc"))
    assert instructed.modalities == {"text", "image"}


@pytest.mark.parametrize("name", FAMILY)
def test_a_recipe_says_what_people_need_to_know(name: str) -> None:
    recipe = load_index(name)
    assert recipe.licence
    assert recipe.parameters.endswith("B")
    assert set(recipe.needs) >= {"local", "ocr"}
    assert "architecture:" in show(f"indexes/{name}")
    default = load_index("default")
    for key in ("dense", "lexical", "ocr", "pictures"):
        assert recipe.data[key] == default.data[key]


def test_all_recipes_have_a_golden_string() -> None:
    from mmrag.recipes import list_recipes

    shipped = {
        one.name
        for one in list_recipes()
        if one.kind == "index" and isinstance(load_index(one.name).embedder, MllmOptions)
    }
    assert shipped == set(FAMILY)


def test_dse_gets_its_pages_as_pictures() -> None:
    splitter = load_index("dse-qwen2-2b").splitter
    assert type(splitter).__name__ == "PageOptions"
    assert splitter.max_tokens == 350
