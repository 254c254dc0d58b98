"""The components that a recipe can name, by kind."""

from __future__ import annotations

from dataclasses import dataclass

from mmrag.core.registry import Registry


@dataclass(frozen=True, slots=True)
class Components:
    """One registry for each kind of component; a registry's kind is its entry point group.

    A package adds a component by an entry point: in group `mmrag.embedder`, the name is what
    recipes say and the object is a frozen dataclass of options with a `build` method.
    """

    embedder: Registry
    splitter: Registry
    captioner: Registry
    ocr: Registry
    dense: Registry
    lexical: Registry
    pictures: Registry
    fusion: Registry
    answerer: Registry


def builtin_components() -> Components:
    """Return what mmrag brings; nothing is imported before it is named."""
    return Components(
        embedder=Registry(
            "embedder",
            {
                "minilm": "mmrag.embed.minilm:MiniLMOptions",
                "mllm": "mmrag.embed.mllm:MllmOptions",
                "dual": "mmrag.embed.dual:DualOptions",
                "sentence-transformers": "mmrag.embed.st:SentenceTransformersOptions",
                "openai": "mmrag.embed.remote:OpenAiOptions",
            },
        ),
        splitter=Registry(
            "splitter",
            {
                "passages": "mmrag.corpus.split:PassageOptions",
                "pages": "mmrag.corpus.split_pages:PageOptions",
            },
        ),
        captioner=Registry(
            "captioner",
            {
                "mllm": "mmrag.caption:MllmCaptionOptions",
                "openai": "mmrag.caption:OpenAiCaptionOptions",
            },
        ),
        ocr=Registry(
            "ocr",
            {
                "rapidocr": "mmrag.corpus.ocr:RapidOcrOptions",
                "tesseract": "mmrag.corpus.ocr:TesseractOptions",
            },
        ),
        dense=Registry(
            "dense_index",
            {
                "auto": "mmrag.index.auto:AutoOptions",
                "exact": "mmrag.index.exact:ExactOptions",
                "faiss": "mmrag.index.ann.options:FaissOptions",
            },
        ),
        lexical=Registry(
            "lexical_index",
            {
                "tantivy": "mmrag.index.lexical:LexicalOptions",
                "okapi": "mmrag.index.okapi:OkapiOptions",
            },
        ),
        pictures=Registry("picture_index", {"phash": "mmrag.index.pictures:PictureOptions"}),
        fusion=Registry(
            "fusion",
            {
                "calibrated": "mmrag.search.calibrated:CalibratedFusion",
                "min-max": "mmrag.search.fusion:MinMaxFusion",
                "rrf": "mmrag.search.fusion:RrfFusion",
                "weighted": "mmrag.search.fusion:WeightedFusion",
            },
        ),
        answerer=Registry("answerer", {"extractive": "mmrag.answer.extractive:ExtractiveOptions"}),
    )


COMPONENTS = builtin_components()
"""The components of this process."""
