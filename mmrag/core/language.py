"""Tell the language of a text, or say that it cannot be told."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter, defaultdict
from functools import lru_cache

from mmrag.core.language_words import ENDINGS, ENGLISH_TOO, LETTERS, WORDS

_MAX_CHARS = 4000
_MAX_REPEATS = 3
_SCRIPT_SHARE = 0.5
_DENSE_LETTER = 3
"""One Han, kana or Hangul letter says as much as about three Latin ones: a Chinese question about an
English product name is Chinese."""


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that most of a text is in, or None when unsure.

    Short labels ("relay wiring diagram"), code, numbers and names give None. English is never
    outvoted by a foreign word or name among its own.
    """
    text = unicodedata.normalize("NFC", text[:_MAX_CHARS])
    if text.isascii():
        return _latin(text)
    scripts = _scripts(text)
    total = sum(scripts.values())
    latin = scripts.pop("latin", 0)
    if total and total - latin >= _SCRIPT_SHARE * total:
        return _by_script(text, scripts)
    return _latin(text)


# Starts of Unicode blocks with the script that they open; "" closes one. Source: Unicode 16 Blocks.txt.
_BLOCKS = (
    (0x0041, "latin"), (0x0250, ""), (0x0370, "el"), (0x0400, "cyrillic"), (0x0530, "hy"), (0x0590, "he"),
    (0x0600, "arabic"), (0x0700, ""), (0x0750, "arabic"), (0x0780, ""), (0x0900, "hi"), (0x0980, "bn"),
    (0x0A00, "pa"), (0x0A80, "gu"), (0x0B00, "or"), (0x0B80, "ta"), (0x0C00, "te"), (0x0C80, "kn"),
    (0x0D00, "ml"), (0x0D80, "si"), (0x0E00, "th"), (0x0E80, "lo"), (0x0F00, "bo"), (0x1000, "my"),
    (0x10A0, "ka"), (0x1100, "ko"), (0x1200, "am"), (0x13A0, ""), (0x1780, "km"), (0x1800, ""),
    (0x1E00, "latin"), (0x1F00, "el"), (0x2000, ""), (0x3005, "han"), (0x3008, ""), (0x3040, "kana"),
    (0x3100, ""), (0x3130, "ko"), (0x3190, ""), (0x31F0, "kana"), (0x3200, ""), (0x3400, "han"),
    (0xA000, ""), (0xAC00, "ko"), (0xD7B0, ""), (0xF900, "han"), (0xFB00, ""), (0xFB1D, "he"),
    (0xFB50, "arabic"), (0xFE00, ""), (0xFE70, "arabic"), (0xFF00, ""), (0xFF66, "kana"), (0xFFA0, ""),
    (0x20000, "han"), (0x32000, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
_DENSE = frozenset({"han", "kana", "ko"})


def _scripts(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for char, count in Counter(text).items():
        if not char.isalpha():
            continue
        place = bisect_right(_STARTS, ord(char)) - 1
        script = _BLOCKS[place][1] if place >= 0 else ""
        if script:
            found[script] += count * (_DENSE_LETTER if script in _DENSE else 1)
    return found


def _by_script(text: str, scripts: Counter[str]) -> str | None:
    east_asian = scripts.pop("han", 0) + scripts.pop("kana", 0)
    if east_asian:
        scripts["zh"] = east_asian
    script, letters = scripts.most_common(1)[0]
    if script not in ("zh", "ko") and letters < 3:
        return None
    if script == "zh":
        # Japanese prose is about half kana; Chinese has none but in quoted names.
        kana = sum(1 for c in text if "\u3041" <= c <= "\u30fa")
        return "ja" if kana * _DENSE_LETTER >= 0.1 * east_asian else "zh"
    if script == "cyrillic":
        return _by_letters(text, "ru", {"uk": "іїєґ", "bg": "", "sr": "јљњћђџ", "be": "ў"})
    if script == "arabic":
        return _by_letters(text, "ar", {"fa": "پچژگکی", "ur": "ٹڈڑےں"})
    return script


def _by_letters(text: str, default: str, letters: dict[str, str]) -> str:
    """Return the language whose own letters the text has most of.

    Bulgarian has none, but only there is ъ a vowel.
    """
    text = text.lower()
    counts = {code: sum(text.count(c) for c in own) for code, own in letters.items()}
    if counts.get("be"):
        return "be"
    best = max(counts, key=lambda code: counts[code])
    if counts[best]:
        return "ur" if counts.get("ur", 0) > 1 else best
    if "bg" in letters and re.search(r"\w*ъ[^еёюя\W]", text) and not re.search("[ыэё]", text):
        return "bg"
    return default


_QUOTED_CODE = re.compile(r"`[^`\n]*`")
_NOISE = re.compile(r"[\d_/\\<>{}=|#$+*@]|\w[.:]+\w|[^\W\d_A-Z][A-Z]|\w\(")
"""What marks code, paths, addresses and names: `a.b`, `x=1`, `camelCase`, `print()`, `M12`."""
_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*['\u2019]?")
_ENGLISH_TAILS = frozenset({"s", "t", "re", "ll", "ve", "m"})


def _latin(text: str) -> str | None:
    words = _words(text)
    if len(words) < 2:
        return None
    english = 0.0
    foreign: defaultdict[str, float] = defaultdict(float)
    marked: defaultdict[str, float] = defaultdict(float)
    hints: Counter[str] = Counter()
    likely: defaultdict[str, float] = defaultdict(float)
    if "¿" in text or "¡" in text:
        marked["es"] = likely["es"] = _MARK
    for word, count in Counter(words).items():
        times = min(count, _MAX_REPEATS)
        english += times * _ENGLISH.get(word, 0.0)
        codes, strength = _OWNERS.get(word, ((), 0.0))
        for code in codes:
            hints[code] += strength < _STRONG
            foreign[code] += strength * times
            likely[code] += strength * times * len(codes) ** -0.6
        if strength < _STRONG:
            marks = _marks(word)
            for code in marks:
                marked[code] += _MARK
                likely[code] += _MARK * len(marks) ** -0.6
    code = max(likely, key=lambda code: (likely[code], code), default="")
    proof = foreign[code] + min(marked[code], 2 * _MARK)
    if not english:
        proof += _ALONE * hints[code]
    if english and english >= proof:
        return "en" if english >= _ENGLISH_ENOUGH else None
    enough = proof > _STRONG or (not english and foreign[code] >= _STRONG and len(words) <= 4)
    return code if enough and proof >= 2 * english and proof >= _COVER * len(words) else None


_STRONG, _WEAK, _MARK = 1.0, 0.2, 0.5
"""What a word tells that English lacks, one that English has too ("die", "was"), a letter or ending."""
_ALONE = 0.15
"""What a word that English has too says more where no English function word stands near."""
_ENGLISH_ENOUGH = 0.9
_COVER = 0.12
"""Running text has a third of its words in the lists; a list of names with a stray "der" has fewer."""


def _owners() -> dict[str, tuple[tuple[str, ...], float]]:
    codes: dict[str, list[str]] = {}
    for code, words in WORDS.items():
        for word in dict.fromkeys(words.split()):
            if code != "en":
                codes.setdefault(word, []).append(code)
    weak = ENGLISH_TOO | frozenset(WORDS["en"].split())
    return {
        word: (tuple(owners), _WEAK if word in weak or (len(word) == 1 and word.isascii()) else _STRONG)
        for word, owners in codes.items()
    }


_OWNERS = _owners()
_ENGLISH = {word: 0.25 if len(word) == 1 else 0.5 if word in _OWNERS else 1.0 for word in WORDS["en"].split()}


def _words(text: str) -> list[str]:
    """Return the lower-case words without code and acronyms; a French or Italian elision is a word."""
    chunks = _QUOTED_CODE.sub(" ", text).split()
    tokens = _TOKEN.findall(" ".join(chunk for chunk in chunks if not _NOISE.search(chunk)))
    shouted = [token for token in tokens if len(token) > 1 and token.isupper()]
    if len(shouted) <= 0.7 * len(tokens):
        tokens = [token for token in tokens if len(token) == 1 or not token.isupper()]
    words: list[str] = []
    for token in tokens:
        head, *tails = token.lower().replace("\u2019", "'").split("'")
        if not tails:
            words.append(head)
        elif tails[-1] in _ENGLISH_TAILS and len(head) > 1:
            words += [head, "'" + tails[-1]]
        else:
            pieces = [head, *tails]
            words += [piece + "'" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
    return words


@lru_cache(maxsize=20_000)
def _marks(word: str) -> tuple[str, ...]:
    """Return the languages that a word's letters or ending point to.

    Kept for words seen before: without that, an eighth of a sync went here.
    """
    found = [code for letters, codes in LETTERS if any(c in word for c in letters) for code in codes.split()]
    found += [code for code, endings in ENDINGS.items() if len(word) > 6 and word.endswith(endings)]
    return tuple(dict.fromkeys(found))
