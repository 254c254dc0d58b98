"""What an index will cost: the arithmetic, and an estimate of a small folder against its real sync."""

import random

import pytest

from mmrag import Pipeline
from mmrag.core.types import Item, Part, SourceId, Span
from mmrag.corpus import load_readers
from mmrag.corpus.scan import Found
from mmrag.estimate import Amount, estimate
from mmrag.estimate.amounts import Part as Stretch
from mmrag.estimate.amounts import mean, total
from mmrag.estimate.sample import strata_of
from mmrag.estimate.trial import _of_batches, is_picture
from mmrag.recipes import COMPONENTS
from mmrag.store import Store
from mmrag.testing.fakes import HashingEmbedder, HashingOptions, SeeingEmbedder

OWN = """recipe: 1
extends: default
index: {extends: default, ocr: null, embedder: hashing}
"""


def test_a_part_that_was_sampled_whole_is_known():
    found = total({"text": [Stretch(3, 60, [10, 20, 30], [1, 2, 3])]})
    assert found == Amount(6.0, 0.0)


def test_what_grows_with_bytes_is_reckoned_by_bytes():
    # A tenth of the files, two items a byte; files differ in size a hundredfold.
    sizes = [10, 100, 1000, 55]
    found = total({"text": [Stretch(40, 50_000, sizes, [2 * size for size in sizes])]})
    assert found.value == pytest.approx(100_000)


def test_what_every_file_has_once_is_reckoned_by_files():
    found = total({"image": [Stretch(40, 50_000, [10, 100, 1000, 55], [1, 1, 1, 1])]})
    assert found.value == pytest.approx(40)
    # Four files do not prove that all are alike.
    assert found.error == pytest.approx(40 / 8)


def test_a_part_without_a_sample_is_like_its_kind_and_uncertain():
    seen, unseen = Stretch(2, 30, [10, 20], [1, 2]), Stretch(5, 500, [], [])
    found = total({"pdf": [seen, unseen], "other": [Stretch(9, 900, [], [])]})
    assert found.value == pytest.approx(3 + 50)
    assert found.low == pytest.approx(3)


def test_the_range_holds_the_truth_most_of_the_time():
    draw = random.Random(1)
    hits = 0
    for _ in range(200):
        sizes = [draw.randint(500, 4000) for _ in range(300)]
        values = [size / 400 * draw.uniform(0.5, 1.5) for size in sizes]
        chosen = draw.sample(range(300), 8)
        part = Stretch(300, sum(sizes), [sizes[i] for i in chosen], [values[i] for i in chosen])
        found = total({"text": [part]})
        hits += found.low <= sum(values) <= found.high
    assert 180 <= hits <= 200


def test_a_product_and_a_sum_carry_both_errors():
    assert (Amount(3, 0.3) + Amount(4, 0.4)).error == pytest.approx(0.5)
    product = Amount(10, 1.0).by(Amount(2, 0.2))
    assert (product.value, product.error) == (20, pytest.approx(2.0**1.5))
    assert Amount(1, 5).low == 0


def test_a_mean_of_one_value_is_as_sure_as_the_caller_says():
    assert mean([4.0], [3.0], otherwise=0.25) == Amount(4.0, 1.0)
    assert mean([1.0, 3.0], [1.0, 1.0], otherwise=0.25) == Amount(2.0, 1.0)
    assert mean([], [], otherwise=0.25) == Amount(0.0, 0.0)


def test_the_pace_is_that_of_full_batches():
    # Three seconds a call, and half a second an item; the first call warms up.
    measured = [(1, 90.0), *((count, 3.0 + count / 2) for count in (2, 4, 8))]
    found = _of_batches(measured, 64)
    assert found.value == pytest.approx(3 / 64 + 0.5)
    assert found.low < found.value < 0.875 < found.high + 0.1


def test_a_pace_without_a_trend_is_a_mean():
    assert _of_batches([(1, 9.0), (4, 8.0)], 64).value == pytest.approx(2.0)
    assert _of_batches([(1, 9.0)], 64).value == pytest.approx(9.0)
    # Faster in larger batches than is possible: no line.
    assert _of_batches([(1, 9.0), (2, 8.0), (4, 4.0)], 64).value == pytest.approx((8 + 4) / 6)


def test_strata_are_of_one_kind_and_like_sizes(tmp_path):
    sizes = {"a.md": 100, "b.md": 120, "c.md": 100_000, "d.pdf": 100, "e.xyz": 100}
    files = [Found(SourceId(name), tmp_path / name, size, 0) for name, size in sizes.items()]
    found = strata_of(files, load_readers())
    assert sorted(sorted(file.id for file in some) for some in found.values()) == [
        ["a.md", "b.md"],
        ["c.md"],
        ["d.pdf"],
        ["e.xyz"],
    ]
    assert {stratum.kind for stratum in found} == {"markdown", "pdf", "other"}


def test_an_item_is_a_picture_only_for_who_sees_it():
    shown = Item("1", SourceId("a.png"), Span(0, 1), (Part("image", media="0" * 64),), {})
    assert is_picture(shown, SeeingEmbedder())
    assert not is_picture(shown, HashingEmbedder())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty texts of about the same length, and a file that nothing reads."""
    root = tmp_path_factory.mktemp("estimate") / "docs"
    draw = random.Random(2)
    words = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(500)]
    for i in range(60):
        (root / f"part{i % 4}").mkdir(parents=True, exist_ok=True)
        text = "\n\n".join(" ".join(draw.choices(words, k=40)) + "." for _ in range(draw.randint(3, 6)))
        (root / f"part{i % 4}" / f"{i}.md").write_text(f"# Number {i}\n\n{text}\n")
    (root / "data.xyz").write_bytes(bytes(range(256)) * 4)
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe without OCR and without a model: fast, and all else as it is."""
    path = tmp_path_factory.mktemp("recipe") / "own.yaml"
    path.write_text(OWN)
    COMPONENTS.embedder.register("hashing", HashingOptions)
    yield path
    COMPONENTS.embedder._registered.pop("hashing")


def test_an_estimate_is_near_what_a_sync_finds(folder, recipe, tmp_path):
    before = sorted(folder.rglob("*"))
    found = estimate(folder, recipe=recipe, sample_s=2)
    assert sorted(folder.rglob("*")) == before, "an estimate writes nothing"
    assert (found.files, found.unchanged, found.blocked) == (61, 0, 0)
    with Pipeline.from_folder(folder, recipe=recipe, store=tmp_path / "store") as pipeline:
        items = pipeline.store.count()
        size = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file())
        again = estimate(folder, recipe=recipe, store=tmp_path / "store", sample_s=1)
    assert found.items.low <= items <= found.items.high
    assert found.items.value == pytest.approx(items, rel=0.3)
    # The store of a few items is mostly what an empty one takes.
    assert 0 < found.disk.vectors.value + found.disk.others.value < 4 * size
    seconds = found.seconds
    parts = seconds.load + seconds.read.value + seconds.split.value + seconds.embed.value
    assert seconds.total.value == pytest.approx(parts + seconds.write.value)
    assert seconds.total.low < seconds.total.value < seconds.total.high
    assert found.sampled.embedded > 1
    assert found.memory.gpu is None
    # What the index holds is not counted again.
    assert (again.unchanged, again.items.value, again.seconds.embed.value) == (61, 0, 0)


def test_a_store_of_another_embedder_counts_for_nothing(folder, recipe, tmp_path):
    Store.create(tmp_path / "store", identity={"embedder": "other", "dim": "3"}).close()
    found = estimate(folder, recipe=recipe, store=tmp_path / "store", sample_s=1)
    assert found.unchanged == 0
    assert "counted as new" in " ".join(found.notes)
