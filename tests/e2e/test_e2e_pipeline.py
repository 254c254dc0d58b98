"""The Python API: threads, pictures in queries, other languages, a store that changes beneath."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageDraw, ImageFont

from mmrag import Pipeline, Query
from mmrag.core.errors import ConfigError, StoreError, UnsupportedModality

FACTS = {
    "valve": "The safety valve opens at 3 bar and closes again at 2 bar.",
    "sieve": "The sieve in the inlet is cleaned every second month.",
    "pump": "The pump turns at 2800 revolutions a minute.",
    "tank": "The tank holds 60 litres and is made of steel.",
}


@pytest.fixture
def pipeline(tmp_path):
    for name, text in FACTS.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with Pipeline.from_folder(tmp_path) as pipeline:
        yield pipeline


def picture(path, text):
    image = Image.new("RGB", (900, 120), "white")
    ImageDraw.Draw(image).text((20, 30), text, fill="black", font=ImageFont.load_default(size=44))
    image.save(path)
    return path


def test_many_threads_get_what_one_gets(pipeline):
    queries = [f"What about the {name}?" for name in FACTS] * 8
    alone = [[hit.item.source for hit in pipeline.search(query)] for query in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda q: [hit.item.source for hit in pipeline.search(q)], queries))
        answers = list(pool.map(pipeline.ask, queries))
    assert together == alone
    for query, answer in zip(queries, answers, strict=True):
        assert answer.text == pipeline.ask(query).text


def test_searching_goes_on_while_the_folder_is_synced(pipeline):
    def search(number: int) -> str:
        return pipeline.search("safety valve")[0].item.source

    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            (pipeline.folder / f"new{number}.txt").write_text(f"Note {number} tells of a gasket.")
            found = [pool.submit(search, n) for n in range(12)]
            pipeline.sync()
            assert {one.result() for one in found} == {"valve.txt"}
    assert len({hit.item.source for hit in pipeline.search("gasket", k=4)}) == 4


def test_another_pipeline_over_the_same_store_is_followed(pipeline):
    with Pipeline.from_folder(pipeline.folder, sync="never") as other:
        assert "lever.txt" not in {hit.item.source for hit in other.search("lever")}
        (pipeline.folder / "lever.txt").write_text("The lever is on the left.")
        pipeline.sync()
        assert other.search("lever")[0].item.source == "lever.txt"
        before = other.ask("Where is the lever?")
        (pipeline.folder / "lever.txt").unlink()
        pipeline.sync()
        assert "lever.txt" not in {hit.item.source for hit in other.search("lever")}
        assert other.ask("Where is the lever?").root != before.root


def test_several_that_make_the_same_store_at_once_share_it_or_are_told_to_wait(tmp_path):
    (tmp_path / "a.txt").write_text("The siphon is made of copper.")

    def first(_: int) -> str:
        try:
            with Pipeline.from_folder(tmp_path, sync="later"):
                return "open"
        except StoreError as error:
            return f"{type(error).__name__} {error.fix}"

    with ThreadPoolExecutor(8) as pool:
        ends = set(pool.map(first, range(16)))
    assert "open" in ends
    # Never the advice to rebuild what another process has just made.
    assert all(end.startswith("Locked Wait") for end in ends - {"open"}), ends
    with Pipeline.from_folder(tmp_path) as pipeline:
        assert pipeline.search("siphon")[0].item.source == "a.txt"


def test_a_picture_is_searched_by_its_words(pipeline, tmp_path_factory):
    image = picture(tmp_path_factory.mktemp("query") / "label.png", "SAFETY VALVE 3 bar")
    found = pipeline.explain("", image=image)
    assert found.hits[0].item.source == "valve.txt"
    assert "label.png was searched by the text read in it" in found.notes[0]
    assert pipeline.search(Query.of("valve"), image=image)[0].item.source == "valve.txt"
    blank = image.with_name("blank.png")
    Image.new("RGB", (300, 200), "white").save(blank)
    with pytest.raises(UnsupportedModality, match=r"blank\.png"):
        pipeline.search("", image=blank)
    assert "left out" in pipeline.explain("valve", image=blank).notes[0]


def test_a_picture_in_the_folder_is_found_by_its_words_and_its_name(pipeline):
    picture(pipeline.folder / "rating-plate.png", "Serial number QX-7781")
    pipeline.sync()
    hit = pipeline.search("serial QX-7781")[0]
    assert (hit.item.source, hit.item.modality) == ("rating-plate.png", "image")
    assert pipeline.search("rating plate")[0].item.source == "rating-plate.png"


def test_a_question_in_another_language_is_searched_by_words_and_says_so(pipeline):
    found = pipeline.explain("Wie viele Liter fasst der Tank und woraus ist er?")
    assert found.hits[0].item.source == "tank.txt"
    assert any("does not know" in note and "(de)" in note for note in found.notes)
    assert [lane.name for lane in found.lanes if lane.used] == ["lexical"]


def test_a_weak_match_in_a_language_that_the_embedder_does_not_know_is_no_answer(tmp_path):
    (tmp_path / "wall.txt").write_text("This page gets a new Larkwind 150 onto the wall and running.")
    (tmp_path / "tank.txt").write_text("Der Tank der Pumpe fasst 60 Liter und besteht aus Stahl.")
    with Pipeline.from_folder(tmp_path) as pipeline:
        refused = pipeline.ask("Wie lange gilt die Garantie für den Larkwind 150?")
        assert (refused.status, refused.text) == ("no_evidence", "")
        assert "60 Liter" in pipeline.ask("Wie viele Liter fasst der Tank der Pumpe?").text


def test_a_store_of_another_embedder_is_refused_with_the_command(tmp_path):
    from mmrag.core.errors import IdentityMismatch
    from mmrag.corpus import load_readers, sync
    from mmrag.corpus.split import PassageOptions
    from mmrag.store import Store
    from mmrag.testing.fakes import HashingEmbedder

    (tmp_path / "a.txt").write_text("Words.")
    other = HashingEmbedder()
    with Store.create(tmp_path / ".mmrag", identity=other.identity) as store:
        readers, splitter = load_readers(), PassageOptions().build(other.count_tokens)
        sync(tmp_path, store, other, readers=readers, splitter=splitter, workers=0)

    with pytest.raises(IdentityMismatch, match="embedder: hashing -> minilm") as caught:
        Pipeline.from_folder(tmp_path)
    assert caught.value.fix == f"Run: mmrag reindex {tmp_path} --recipe default"
    with Pipeline.from_folder(tmp_path, rebuild=True) as pipeline:
        assert pipeline.search("words")


def test_without_refusal_answers_what_the_recipe_refuses(pipeline):
    question = "How tall is the mast of the sailing boat?"
    assert pipeline.ask(question).status == "no_evidence"
    assert pipeline.without_refusal().ask(question).text
    assert pipeline.ask(question).status == "no_evidence"


def test_an_index_is_wanted_where_none_may_be_made(tmp_path):
    with pytest.raises(ConfigError, match="no index yet"):
        Pipeline.from_folder(tmp_path, sync="never")
