"""Perceptual hashes: what is the same picture, what is not, and the index on disk."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from mmrag.core.errors import ConfigError, Damaged, SourceError
from mmrag.core.fields import embedding_key
from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Source, SourceId
from mmrag.index.pictures import PictureIndex, PictureOptions
from mmrag.media.likeness import BITS, NEAR_BITS, query_hashes, stored_hashes
from mmrag.store import SourceRecord, Store
from mmrag.testing import HashingEmbedder
from mmrag.testing.samples import picture_item, picture_of, text_item

EMBEDDER = HashingEmbedder()
MAX = 10_000_000
PICTURES = Path("examples/corpus")


def encoded(picture: Image.Image, encoding: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, encoding, **options)
    return out.getvalue()


def page_of(seed: int, lines: int = 28) -> Image.Image:
    """A page of other words in the same layout each time: what scans of one kind of letter share."""
    rng = np.random.default_rng(seed)
    page = Image.new("L", (827, 1169), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=18)
    for line in range(lines):
        words = " ".join(
            "".join(rng.choice(list("abcdefghilmnorstu"), rng.integers(2, 10))) for _ in range(9)
        )
        draw.text((90, 120 + 34 * line), words[: rng.integers(25, 70)], fill="black", font=font)
    return page


def diagram(seed: int) -> Image.Image:
    """Boxes and lines on white: mostly background."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(picture)
    at = rng.integers([40, 40], [650, 480], (7, 2)).tolist()
    for x, y in at:
        draw.rectangle((x, y, x + 110, y + 70), outline="black", width=3)
    for (x, y), (u, v) in pairwise(at):
        draw.line((x + 55, y + 35, u + 55, v + 35), fill="black", width=3)
    return picture


def bits_between(stored: list[bytes], asked: list[bytes]) -> np.ndarray:
    """Return in how many bits each picture asked with differs from each stored one: [asked, stored]."""
    kept = [stored_hashes(picture, max_pixels=MAX) for picture in stored]
    sought = [query_hashes(picture, max_pixels=MAX) for picture in asked]
    return np.array(
        [[np.bitwise_count(k[:, None] ^ s[None]).sum(axis=-1).min() for k in kept] for s in sought]
    )


def near_pairs(pictures: list[bytes]) -> np.ndarray:
    return bits_between(pictures, pictures) <= NEAR_BITS


SAMPLES = {
    "page": page_of(1),
    "diagram": diagram(1),
    "label": Image.open(io.BytesIO(picture_of("AX-200", "230 V"))),
}
CHANGES = {
    "halved": lambda p: encoded(p.resize((p.width // 2, p.height // 2), Image.Resampling.LANCZOS)),
    "small JPEG": lambda p: encoded(p.resize((p.width // 3, p.height // 3)), "JPEG", quality=40),
    "JPEG": lambda p: encoded(p, "JPEG", quality=40),
    "WebP": lambda p: encoded(p, "WEBP", quality=50),
    "darker": lambda p: encoded(ImageEnhance.Brightness(p).enhance(0.7)),
    "flatter": lambda p: encoded(ImageEnhance.Contrast(p).enhance(0.6)),
    "stretched": lambda p: encoded(p.resize((p.width, p.height * 4 // 5))),
    "bordered": lambda p: encoded(ImageOps.expand(p, 20, "white")),
    "cropped by 1 %": lambda p: encoded(
        p.crop((p.width // 100, p.height // 100, p.width * 99 // 100, p.height * 99 // 100))
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_changed_picture_is_near(sample, change):
    picture = SAMPLES[sample]
    assert bits_between([encoded(picture)], [CHANGES[change](picture)]).item() <= NEAR_BITS


@pytest.mark.parametrize("make", [page_of, diagram])
def test_pictures_that_share_their_white_background_are_not_near(make):
    np.testing.assert_array_equal(near_pairs([encoded(make(seed)) for seed in range(6)]), np.eye(6))


def test_the_pictures_of_the_examples_are_near_themselves_alone():
    pictures = [path.read_bytes() for path in sorted(PICTURES.rglob("*")) if path.suffix in (".png", ".jpg")]
    assert len(pictures) >= 7
    np.testing.assert_array_equal(near_pairs(pictures), np.eye(len(pictures)))


def gradient(vertical: bool) -> Image.Image:
    ramp = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (300, 1))
    return Image.fromarray(ramp.T if vertical else ramp)


def test_plain_pictures_are_like_their_own_bytes_alone():
    plain = [
        encoded(Image.new("RGB", (300, 300), "white")),
        encoded(Image.new("RGB", (600, 400), "white")),
        encoded(Image.new("RGB", (300, 300), "navy")),
        encoded(gradient(vertical=True)),
        encoded(gradient(vertical=False)),
        encoded(Image.new("L", (2, 2), 7)),
    ]
    np.testing.assert_array_equal(near_pairs(plain), np.eye(len(plain)))


def test_a_picture_too_large_or_broken_has_no_hash():
    with pytest.raises(SourceError):
        stored_hashes(encoded(diagram(0)), max_pixels=1000)
    with pytest.raises(SourceError):
        query_hashes(b"\x89PNG\r\n\x1a\nnothing", max_pixels=MAX)


def put(store: Store, pictures: dict[str, bytes], *, keep: bool = True) -> dict[str, int]:
    """Put pictures, or texts for no bytes, into a store, and their bytes too; return the row of each name."""
    rows = {}
    with store.writer() as writer:
        for name, data in pictures.items():
            item = picture_item(data, alt=name, source=name) if data else text_item(name, source=name)
            keys = [embedding_key(item)]
            writer.add_vectors(keys, EMBEDDER.embed_items([item]))
            source = Source(SourceId(name), digest_bytes(name.encode()), 1, "image/png")
            blobs = [Blob(digest_bytes(data), data, "image/png")] if data and keep else []
            writer.put(SourceRecord(source, 0, "indexed"), [item], keys, blobs)
        writer.commit()
    for name in pictures:
        rows[name] = int(store.rows_of(SourceId(name))[0])
    return rows


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store", identity=EMBEDDER.identity) as store:
        yield store


def found(index: PictureIndex, picture: bytes, k: int = 5, **options) -> list[int]:
    rows = index.search([picture], k, **options).rows[0]
    return rows[rows >= 0].tolist()


DIAGRAMS = {f"{seed}.png": encoded(diagram(seed)) for seed in range(4)}
SMALL = encoded(diagram(2).resize((300, 225)), "JPEG", quality=40)


def test_pictures_are_found_before_and_after_publishing(store):
    rows = put(store, {**DIAGRAMS, "note.md": b"", "broken.png": b"no picture"})
    options = PictureOptions()
    first = store.generation
    fresh = options.open(store, None)
    assert len(fresh) == 5
    assert found(fresh, SMALL) == [rows["2.png"]]
    assert len(fresh) == 4
    store.publish("pictures", options.identity, first, lambda folder: options.write(folder, store))
    published = options.open(store, store.derived("pictures"))
    matches = published.search([SMALL, DIAGRAMS["1.png"]], 3)
    assert matches.rows[:, 0].tolist() == [rows["2.png"], rows["1.png"]]
    assert matches.scores[1, 0] == 1.0
    assert 1 - NEAR_BITS / BITS <= matches.scores[0, 0] <= 1
    assert (matches.rows[:, 1:] == -1).all()
    assert (matches.scores[:, 1:] == -np.inf).all()


def test_what_is_newer_than_the_published_index_is_seen_and_merged(store, tmp_path):
    rows = put(store, DIAGRAMS)
    options = PictureOptions()
    generation = store.generation
    store.publish("pictures", options.identity, generation, lambda folder: options.write(folder, store))
    with store.writer() as writer:
        writer.remove(SourceId("2.png"))
        writer.commit()
    rows |= put(store, {"9.png": encoded(diagram(9))})
    old = store.derived("pictures")
    added, removed = store.changes(generation)
    (tmp_path / "merged").mkdir()
    options.update(old.path, tmp_path / "merged", store, added, removed)
    for index in (options.open(store, old), options.load(tmp_path / "merged")):
        assert len(index) == 4
        assert found(index, SMALL) == []
        assert found(index, encoded(diagram(9))) == [rows["9.png"]]
        assert found(index, DIAGRAMS["0.png"]) == [rows["0.png"]]


def test_a_picture_that_is_a_file_of_its_own_is_read_in_the_corpus(store, tmp_path):
    rows = put(store, DIAGRAMS, keep=False)
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(DIAGRAMS[name])
    options = PictureOptions()
    (tmp_path / "index").mkdir()
    options.write(tmp_path / "index", store, corpus=tmp_path)
    for index in (options.load(tmp_path / "index"), options.open(store, None, corpus=tmp_path)):
        assert found(index, SMALL) == [rows["2.png"]]
        assert found(index, DIAGRAMS["3.png"]) == [], "its file is not there"
    (tmp_path / "1.png").write_bytes(DIAGRAMS["2.png"])
    changed = options.open(store, None, corpus=tmp_path)
    assert found(changed, SMALL) == [rows["2.png"]], (
        "a file changed since it was read is left to the next sync"
    )
    assert found(options.open(store, None), SMALL) == []


def hashes(*values: int) -> np.ndarray:
    return np.array([[value, 0, 0, 0] for value in values], np.uint64).T


def test_the_best_hash_of_a_row_counts_and_ties_go_to_the_smaller_row():
    index = PictureIndex()
    index.add(np.array([7, 7, 3, 5, 9]), hashes(0, 0b111, 0b1, 0b1, 2**64 - 1))
    asked = hashes(0).T
    matches = index.search_hashes([asked], 9)
    assert matches.rows[0, :4].tolist() == [7, 3, 5, -1]
    assert matches.scores[0, :3].tolist() == [1.0, 1 - 1 / 256, 1 - 1 / 256]
    assert index.search_hashes([asked], 2).rows.tolist() == [[7, 3]]
    assert index.search_hashes([asked], 2, allow=np.array([3, 9])).rows.tolist() == [[3, -1]]
    assert index.search_hashes([asked], 2, allow=np.empty(0, np.int64)).rows.tolist() == [[-1, -1]]
    assert index.search_hashes([], 2).rows.shape == (0, 2)


def test_rows_are_removed_and_replaced():
    index = PictureIndex()
    index.add(np.array([1, 2]), hashes(0, 0))
    index.remove(np.array([1, 40]))
    assert len(index) == 1
    assert index.search_hashes([hashes(0).T], 3).rows[0].tolist() == [2, -1, -1]
    index.add(np.array([2, 4]), hashes(2**64 - 1, 0))
    assert len(index) == 2
    assert index.search_hashes([hashes(0).T], 3).rows[0].tolist() == [4, -1, -1]


def test_the_search_is_brute_force():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, (4, 300), np.uint64)
    flips = np.zeros_like(base)
    for i in range(300):
        for bit in rng.choice(256, i % 60, replace=False).tolist():
            flips[bit // 64, i] |= np.uint64(1) << np.uint64(bit % 64)
    near = base[:, :1] ^ flips
    index = PictureIndex(np.arange(300), near)
    wanted = np.bitwise_count(near ^ base[:, :1]).sum(axis=0)
    matches = index.search_hashes([base[:, 0][None]], 300)
    inside = np.flatnonzero(wanted <= NEAR_BITS)
    order = inside[np.lexsort((inside, wanted[inside]))]
    assert matches.rows[0, : len(order)].tolist() == order.tolist()
    np.testing.assert_allclose(matches.scores[0, : len(order)], 1 - wanted[order] / 256)
    assert (matches.rows[0, len(order) :] == -1).all()


@pytest.fixture
def folder(tmp_path, store):
    put(store, DIAGRAMS)
    (tmp_path / "saved").mkdir()
    PictureOptions().write(tmp_path / "saved", store)
    return tmp_path / "saved"


@pytest.mark.parametrize("name", ["rows.npy", "hashes.npy", "index.json"])
def test_torn_missing_and_foreign_files_are_named(folder, name):
    data = (folder / name).read_bytes()
    for harm in (data[:-3], b"", b"\0" * len(data)):
        (folder / name).write_bytes(harm)
        with pytest.raises(Damaged):
            PictureOptions().load(folder)
    (folder / name).unlink()
    with pytest.raises(Damaged):
        PictureOptions().load(folder)


def test_an_index_of_no_pictures_opens(tmp_path, store):
    PictureOptions().write(tmp_path, store)
    empty = PictureOptions().load(tmp_path)
    assert len(empty) == 0
    assert found(empty, SMALL) == []


@pytest.mark.parametrize("bits", [-1, 65])
def test_a_threshold_that_makes_no_sense_is_refused(bits):
    with pytest.raises(ConfigError):
        PictureOptions(near_bits=bits)


def test_a_threshold_of_none_finds_only_equal_hashes():
    index = PictureIndex(np.array([1, 2]), hashes(0, 1), near_bits=0)
    assert index.search_hashes([hashes(0).T], 5).rows[0].tolist() == [1, -1, -1, -1, -1]
