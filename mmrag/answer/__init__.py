"""Answers from evidence: sentences, checked quotes, and pages that show them."""

from mmrag.answer.compose import compose_answer
from mmrag.answer.evidence import write_evidence
from mmrag.answer.extractive import Extractive, ExtractiveOptions
from mmrag.answer.quotes import verify
from mmrag.answer.render import answer_to_dict, describe_hit, describe_locator, hit_to_dict

__all__ = [
    "Extractive",
    "ExtractiveOptions",
    "answer_to_dict",
    "compose_answer",
    "describe_hit",
    "describe_locator",
    "hit_to_dict",
    "verify",
    "write_evidence",
]
