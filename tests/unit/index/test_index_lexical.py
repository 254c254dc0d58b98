from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, Damaged, IdentityMismatch, Locked
from mmrag.core.fields import SearchText
from mmrag.index.lexical import LexicalIndex, LexicalOptions


def text(
    body: str = "",
    *,
    title: str = "",
    heading: str = "",
    context: str = "",
    name: str = "",
    ocr: str = "",
    language: str = "",
) -> SearchText:
    return SearchText(title, heading, body, context, name, ocr, language)


def filled(
    *bodies: str | SearchText, options: LexicalOptions | None = None, folder: Path | None = None
) -> LexicalIndex:
    index = (options or LexicalOptions()).open(folder)
    index.add(np.arange(len(bodies)), [text(body) if isinstance(body, str) else body for body in bodies])
    index.commit()
    return index


def found(index: LexicalIndex, query: str, k: int = 10, allow: list[int] | None = None) -> list[int]:
    rows = index.search([query], k, allow=None if allow is None else np.array(allow)).rows[0]
    return rows[rows >= 0].tolist()


def test_every_field_is_searched():
    index = filled(
        text("alpha"),
        text(title="bravo"),
        text(heading="charlie"),
        text(context="delta"),
        text(name="echo"),
        text(ocr="foxtrot"),
    )
    for row, word in enumerate(("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")):
        assert found(index, word) == [row]


def test_words_read_out_of_a_picture_are_weighed_apart_where_they_have_a_weight():
    for weight, order in ((0.7, [1, 0]), (2.0, [0, 1])):
        options = LexicalOptions(weights={"ocr": weight, "body": 1.0})
        assert found(filled(text(ocr="relay"), text("relay"), options=options), "relay") == order


def test_words_read_out_of_a_picture_count_as_the_body_where_they_have_none():
    """As a field of few items they were weighed down by its short mean length: scans came last."""
    index = filled(text(ocr="relay"), text("relay"), text("fan", ocr="relay"))
    scores = index.search(["relay"], 3).scores[0]
    assert scores[0] == scores[1] > scores[2] > 0
    assert found(index, "ocr:relay") == [0, 2]
    apart = LexicalOptions(weights={"ocr": 1.0, "body": 1.0})
    assert apart.identity != LexicalOptions().identity


def test_weights_decide_between_fields():
    texts = (text("relay", title="other"), text("other", title="relay"))
    assert found(filled(*texts, options=LexicalOptions(weights={"title": 3, "body": 1})), "relay") == [1, 0]
    assert found(filled(*texts, options=LexicalOptions(weights={"title": 1, "body": 3})), "relay") == [0, 1]
    assert found(filled(*texts, options=LexicalOptions(weights={"body": 1})), "relay") == [0]


@pytest.mark.parametrize("wrong", [{"titel": 1.0}, {"title": -1.0}, {"title": 0.0}, {"title": float("nan")}])
def test_wrong_weights_are_refused(wrong):
    with pytest.raises(ConfigError):
        LexicalOptions(weights=wrong)


def test_changes_are_seen_after_commit_and_can_be_given_up():
    index = filled("alpha")
    index.add(np.array([1]), [text("alpha bravo")])
    assert found(index, "bravo") == []
    index.commit()
    assert found(index, "bravo") == [1]
    index.remove(np.array([1]))
    index.close()
    index.commit()
    assert found(index, "bravo") == [1]


def test_adding_twice_is_adding_once():
    index = filled("alpha", "bravo")
    index.add(np.array([0, 1]), [text("alpha"), text("bravo")])
    index.add(np.array([0]), [text("alpha")])
    index.commit()
    assert len(index) == 2
    assert found(index, "alpha") == [0]


def test_a_quoted_phrase_lifts_its_rows_but_demands_nothing():
    index = filled("wire relay blue", "blue relay wire and more", "relay blue wire long ago")
    assert found(index, 'the "blue wire"')[0] == 2
    assert set(found(index, '"blue wire"')) == {0, 1, 2}
    assert found(index, "\u201cblue relay\u201d")[0] == 1


def test_words_and_grams_in_one_text_are_both_found():
    index = filled("iPhone 的保修期是两年 since 2019", "保护套", "关税", "税金の支払い", "การรับประกันสองปี")
    assert found(index, "保修期") == [0]
    assert found(index, "iphone 2019") == [0]
    assert found(index, "税") == [2, 3] or set(found(index, "税")) == {2, 3}
    assert found(index, "ประกัน") == [4]
    assert found(index, "กา") == [4]
    assert found(index, '"两年 since"') == [0]


def test_a_phrase_may_cross_from_grams_to_words():
    index = filled("since 两年 保修期", "保修期 since 两年")
    assert found(index, '"保修期 since"')[0] == 1


def test_of_a_long_query_the_rare_words_are_asked_for():
    index = filled("the of zeppelin", *["the of and"] * 30, options=LexicalOptions(max_terms=1))
    assert found(index, "the of zeppelin") == [0]


def test_opening_again_gives_the_same(tmp_path):
    filled("alpha bravo", "bravo", folder=tmp_path)
    again = LexicalOptions().open(tmp_path)
    assert len(again) == 2
    assert found(again, "bravo") == [1, 0]
    again.add(np.array([5]), [text("bravo")])
    again.commit()
    assert found(LexicalOptions().open(tmp_path), "bravo") == [1, 5, 0]


def test_another_analyser_is_refused_with_the_difference(tmp_path):
    filled("alpha", folder=tmp_path)
    with pytest.raises(IdentityMismatch, match=r"stemmer=auto -> .*stemmer=german"):
        LexicalOptions(stemmer="german").open(tmp_path)


def test_other_weights_are_no_other_index(tmp_path):
    filled("alpha", folder=tmp_path)
    assert len(LexicalOptions(weights={"body": 1}).open(tmp_path)) == 1


def test_a_second_writer_is_locked_out_until_the_first_is_done(tmp_path):
    first = filled("alpha", folder=tmp_path)
    second = LexicalOptions().open(tmp_path)
    first.add(np.array([1]), [text("bravo")])
    with pytest.raises(Locked):
        second.add(np.array([2]), [text("charlie")])
    first.commit()
    second.add(np.array([2]), [text("charlie")])
    second.commit()
    assert len(LexicalOptions().open(tmp_path)) == 3


def _segment_files(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.iterdir() if not file.name.startswith(".") and file.name != "index.json"
    )


def test_any_torn_or_missing_file_is_damage(tmp_path):
    filled("alpha bravo", "bravo", folder=tmp_path)
    files = _segment_files(tmp_path)
    assert len(files) > 5
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(Damaged):
            LexicalOptions().open(tmp_path)
        file.unlink()
        with pytest.raises(Damaged):
            LexicalOptions().open(tmp_path)
        file.write_bytes(whole)
    assert len(LexicalOptions().open(tmp_path)) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "exact", "version": 1, "files": {}}'])
def test_a_foreign_folder_is_damage(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(Damaged):
        LexicalOptions().open(tmp_path)


def test_reading_goes_on_while_another_writes(tmp_path):
    index = filled(*["alpha bravo"] * 50, folder=tmp_path)
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(found, index, "bravo", 5) for _ in range(40)]
        for row in range(50, 60):
            index.add(np.array([row]), [text("alpha bravo")])
            index.commit()
        assert all(result.result() == [0, 1, 2, 3, 4] for result in results)
    assert len(index) == 60


def test_idf_counts_a_term_in_its_fullest_field():
    index = filled(text("relay", title="relay"), text("relay"), text("wire"))
    idf = index.idf(["relay", "wire", "nowhere"])
    np.testing.assert_allclose(
        idf, np.log1p((3 - np.array([2, 1, 0]) + 0.5) / (np.array([2, 1, 0]) + 0.5)), rtol=1e-6
    )


def test_a_copy_by_hard_links_can_be_changed_without_touching_the_first(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    filled("alpha bravo", "bravo", folder=first)
    before = {file.name: file.read_bytes() for file in first.iterdir() if file.suffix != ".lock"}
    second.mkdir()
    for file in first.iterdir():
        if file.suffix == ".json":
            (second / file.name).write_bytes(file.read_bytes())
        elif file.suffix != ".lock":
            (second / file.name).hardlink_to(file)
    copy = LexicalOptions().open(second)
    copy.remove(np.array([0]))
    copy.add(np.array([7]), [text("charlie")])
    copy.commit()
    assert found(copy, "bravo charlie") == [7, 1]
    assert {file.name: file.read_bytes() for file in first.iterdir() if file.suffix != ".lock"} == before
    assert found(LexicalOptions().open(first), "bravo") == [1, 0]


@pytest.mark.parametrize("bodies", [[], ["alpha", "bravo"]])
def test_reading_leaves_the_folder_as_it_is(tmp_path, bodies):
    """The store tells a torn index by the names and sizes of its files."""

    def files() -> dict[str, int]:
        return {file.name: file.stat().st_size for file in tmp_path.iterdir()}

    filled(*bodies, folder=tmp_path)
    before = files()
    index = LexicalOptions().open(tmp_path)
    found(index, "alpha")
    index.close()
    del index
    assert files() == before


def test_more_ties_than_the_first_look_sees_still_go_to_the_smaller_rows():
    index = LexicalOptions().open(None)
    for rows in (np.arange(100, 200), np.arange(100)):
        index.add(rows, [text("blue wire")] * 100)
        index.commit()
    assert found(index, "wire", 3) == [0, 1, 2]


def test_allowed_rows_that_rank_low_are_all_found():
    """One allowed row is among the best, the others stand behind thousands that are not allowed."""
    bodies = ["wire" if row == 0 or row % 2 else "wire and so much more than wire" for row in range(4000)]
    index = filled(*bodies)
    allow = np.arange(0, 4000, 6)
    assert found(index, "wire", 5, allow.tolist()) == [0, 6, 12, 18, 24]


def test_rows_that_another_writer_added_are_replaced_as_well(tmp_path):
    first = filled("alpha", folder=tmp_path)
    second = LexicalOptions().open(tmp_path)
    first.add(np.array([1]), [text("bravo")])
    first.commit()
    second.add(np.array([1]), [text("charlie")])
    second.commit()
    assert len(second) == 2
    assert found(second, "bravo charlie") == [1]
    assert found(second, "bravo") == []


@pytest.fixture(scope="module")
def long() -> LexicalIndex:
    rng = np.random.default_rng(0)
    return filled(*("wire " * rng.integers(1, 9) + "filler " * rng.integers(1, 9) for _ in range(9000)))


ALLOWED = {
    "a long range": np.arange(1000, 4500),
    "short and long ranges": np.concatenate([np.arange(3), np.arange(50, 60), np.arange(3000, 7000), [8999]]),
    "few scattered rows": np.arange(0, 9000, 31),
    "many scattered rows": np.arange(1, 9000, 2),
    "rows beyond the last": np.arange(8000, 12000, 2),
}


@pytest.mark.parametrize("k", [3, 2500])
@pytest.mark.parametrize("shape", ALLOWED)
def test_every_way_to_filter_finds_the_same(long, shape, k):
    every = long.search(["wire filler"], 9000)
    kept = np.isin(every.rows[0], ALLOWED[shape])
    found = long.search(["wire filler"], k, allow=ALLOWED[shape])
    wanted = every.rows[0][kept][:k]
    np.testing.assert_array_equal(found.rows[0, : len(wanted)], wanted)
    assert (found.rows[0, len(wanted) :] == -1).all()
