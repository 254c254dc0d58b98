"""A stream gives every input its result in order, whatever the batches, threads and troubles."""

import gc
import random
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from mmrag.core.errors import ModelError, OutOfMemory, SourceError
from mmrag.embed.content import Content
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.engine.runner import without_frames
from mmrag.embed.engine.stream import Engine

SMALL = EngineOptions(batch_tokens=200, batch_visual_tokens=60, batch_items=8, window=32, threads=3)


def texts_of(count: int, *, longest: int = 60, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [f"{i}:" + rng.choice("ab#") * rng.randint(0, longest) for i in range(count)]


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mmrag-")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert workers() == []


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31, 32, 33, 500])
@pytest.mark.parametrize("models", [1, 3])
def test_each_input_has_its_vector_in_order(fake, vector_of, contents_of, count: int, models: int) -> None:
    texts = texts_of(count)
    found = list(Engine([fake() for _ in range(models)], SMALL).stream(contents_of(texts)))
    assert [one.position for one in found] == list(range(count))
    for one, text in zip(found, texts, strict=True):
        assert one.error is None
        assert one.vectors is not None
        assert one.vectors.shape == (1, 8)
        assert np.array_equal(one.vectors[0], vector_of(text))


def test_batches_keep_the_budget(fake, contents_of) -> None:
    model = fake()
    list(Engine([model], SMALL).stream(contents_of(texts_of(400))))
    assert all(
        len(batch) == 1
        or (
            len(batch) <= 8
            and len(batch) * max(map(len, batch)) <= 200
            and sum(text.count("#") for text in batch) <= 60
        )
        for batch in model.batches
    )


def test_the_same_inputs_make_the_same_batches(fake, contents_of) -> None:
    texts = texts_of(300)
    runs = []
    for prepare_s, threads in ((0.0, 1), (0.001, 4)):
        model = fake(prepare_s=prepare_s)
        options = EngineOptions(batch_tokens=200, batch_items=8, window=32, threads=threads)
        list(Engine([model], options).stream(contents_of(texts)))
        runs.append(model.batches)
    assert runs[0] == runs[1]


def test_lengths_are_sorted_within_a_window(fake, contents_of) -> None:
    model = fake()
    engine = Engine([model], EngineOptions(batch_tokens=2048, batch_items=32, window=256))
    list(engine.stream(contents_of(texts_of(2000, longest=400))))
    (work,) = engine.stats
    assert work.inputs == 2000
    assert work.tokens < work.positions < 1.06 * work.tokens


def test_an_input_that_cannot_be_prepared_fails_alone(fake, contents_of) -> None:
    texts = ["a", "gone", "b", "buggy", "c long"]
    found = list(Engine([fake()], SMALL).stream(contents_of(texts)))
    assert [one.error is None for one in found] == [True, False, True, False, True]
    assert isinstance(found[1].error, SourceError)
    assert isinstance(found[3].error, ModelError)
    assert "ValueError: what a picture library says" in str(found[3].error)
    assert "conftest.py" in str(found[3].error)
    assert found[4].notes == ("cut",)


def test_all_inputs_can_fail(fake, contents_of) -> None:
    found = list(Engine([fake()], SMALL).stream(contents_of(["gone"] * 100)))
    assert all(isinstance(one.error, SourceError) for one in found)
    assert len(found) == 100


def test_an_input_that_cannot_run_fails_alone(fake, contents_of) -> None:
    texts = [f"{i}" for i in range(64)]
    texts[13], texts[14], texts[40] = "cursed", "nan", "another cursed one"
    model = fake()
    found = list(Engine([model], EngineOptions(batch_items=64)).stream(contents_of(texts)))
    assert [i for i, one in enumerate(found) if one.error] == [13, 14, 40]
    assert "RuntimeError: shapes do not match" in str(found[13].error)
    assert "no number" in str(found[14].error)
    assert len(model.batches) < 25, "halves find them, not one run for each input"


def test_a_model_that_always_fails_ends_the_stream(fake, contents_of) -> None:
    model = fake(broken=True)
    with pytest.raises(ModelError, match="100 inputs in a row"):
        list(Engine([model], SMALL).stream(contents_of(texts_of(10_000))))
    assert len(model.batches) < 400


def test_batches_shrink_when_memory_runs_out_and_stay_small(fake, vector_of, contents_of) -> None:
    model = fake(memory=100)
    engine = Engine([model], EngineOptions(batch_tokens=3200, window=64))
    texts = texts_of(400, longest=20)
    found = list(engine.stream(contents_of(texts)))
    assert all(one.error is None for one in found)
    assert all(np.array_equal(one.vectors[0], vector_of(t)) for one, t in zip(found, texts, strict=True))
    first = engine.stats[0].out_of_memory
    assert 1 <= first <= 8, "halved until 100 fits, and never again"
    list(engine.stream(contents_of(texts)))
    assert engine.stats[0].out_of_memory == first


def test_one_input_that_is_too_large_fails_alone(fake, contents_of) -> None:
    texts = ["a" * 50] * 20
    texts[7] = "b" * 500
    found = list(Engine([fake(memory=300)], SMALL).stream(contents_of(texts)))
    assert [i for i, one in enumerate(found) if one.error] == [7]
    assert isinstance(found[7].error, OutOfMemory)


def test_errors_hold_no_frames(fake, contents_of) -> None:
    texts = ["gone", "buggy", "cursed", "b" * 500]
    for one in Engine([fake(memory=300)], SMALL).stream(contents_of(texts)):
        error: BaseException | None = one.error
        assert error is not None
        while error is not None:
            assert error.__traceback__ is None
            error = error.__cause__


def test_what_is_prepared_and_read_ahead_is_bounded(fake, contents_of) -> None:
    model = fake(run_s=0.002)
    read = most_ahead = 0

    def endless() -> Iterator[Content]:
        nonlocal read
        while True:
            read += 1
            yield from contents_of([f"{read}" + "a" * 48])

    stream = Engine([model], SMALL).stream(endless())
    for one in stream:
        most_ahead = max(most_ahead, read - one.position - 1)
        if one.position == 600:
            break
    stream.close()
    # A window closes at 8 batches of 200 tokens, so at 32 inputs; two may be alive, and one a thread.
    assert 32 < model.most_live <= 2 * 32 + 3 + 8
    assert most_ahead <= 3 * 32


def test_large_inputs_are_prepared_fewer_at_a_time(fake, contents_of) -> None:
    model = fake(run_s=0.002)
    list(Engine([model], SMALL).stream(contents_of(["#" * 400] * 100)))
    # 1,600 tokens a window and 3,200 alive: 8 of them, one a thread, and one that is just done.
    assert model.most_live <= 8 + 3 + 1


def test_inputs_are_read_in_the_callers_thread(fake, contents_of) -> None:
    readers = set()

    def read() -> Iterator[Content]:
        for content in contents_of(texts_of(100)):
            readers.add(threading.get_ident())
            yield content

    model = fake(prepare_s=0.001)
    list(Engine([model], SMALL).stream(read()))
    assert readers == {threading.get_ident()}
    assert len(model.threads) == 3
    assert threading.get_ident() not in model.threads


def test_the_device_works_while_the_next_window_is_prepared(fake, contents_of) -> None:
    model = fake(prepare_s=0.004, run_s=0.010)
    engine = Engine([model], EngineOptions(batch_items=8, window=32, threads=4))
    started = time.perf_counter()
    list(engine.stream(contents_of(["a"] * 320)))
    wall = time.perf_counter() - started
    # 40 batches take .4 s and 320 inputs .32 s in four threads: one after the other, 55 % would be busy.
    assert engine.stats[0].busy_s / wall > 0.75


def test_a_stream_that_is_closed_early_stops(fake, contents_of) -> None:
    model = fake(run_s=0.005)
    stream = Engine([model], SMALL).stream(contents_of(texts_of(5000)))
    next(stream)
    stream.close()
    assert workers() == []
    ran = len(model.batches)
    time.sleep(0.02)
    assert len(model.batches) == ran < 50


def test_a_stream_that_is_forgotten_stops(fake, contents_of) -> None:
    stream = Engine([fake()], SMALL).stream(contents_of(texts_of(5000)))
    next(stream)
    assert workers()
    del stream
    gc.collect()
    assert workers() == []


def test_a_stream_that_is_never_taken_from_starts_nothing(fake, contents_of) -> None:
    stream = Engine([fake()], SMALL).stream(contents_of(["a"]))
    assert workers() == []
    assert stream is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_of_the_inputs_ends_the_stream(fake, contents_of, error: type[BaseException]) -> None:
    def failing() -> Iterator[Content]:
        yield from contents_of(texts_of(200))
        raise error

    with pytest.raises(error):
        list(Engine([fake(run_s=0.001)], SMALL).stream(failing()))
    assert workers() == []


def test_what_is_no_exception_reaches_the_caller(fake, contents_of) -> None:
    class Exits(fake):  # type: ignore[misc, valid-type]
        def run(self, batch):
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(Engine([Exits()], SMALL).stream(contents_of(["a"])))


def test_threads_may_stream_at_the_same_time(fake, vector_of, contents_of) -> None:
    model = fake(run_s=0.0005)
    engine = Engine([model], SMALL)
    wrong: list[str] = []

    def stream(seed: int) -> None:
        texts = texts_of(200, seed=seed)
        for one, text in zip(engine.stream(contents_of(texts)), texts, strict=True):
            if one.vectors is None or not np.array_equal(one.vectors[0], vector_of(text)):
                wrong.append(text)

    threads = [threading.Thread(target=stream, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert engine.stats[0].inputs == 800


def test_a_question_does_not_wait_for_a_long_stream(fake, contents_of) -> None:
    engine = Engine([fake(run_s=0.005)], EngineOptions(batch_items=8, window=64))
    stream = engine.stream(contents_of(texts_of(2000)))
    next(stream)
    waits = []
    for _ in range(5):
        started = time.perf_counter()
        (one,) = engine.stream(contents_of(["question"]))
        waits.append(time.perf_counter() - started)
        assert one.error is None
        # What the question waited for is taken, so that the stream has more to run.
        for _ in range(16):
            next(stream)
    stream.close()
    assert sorted(waits)[2] < 0.3, "the stream takes 1.25 s"


def test_several_models_share_the_work(fake, contents_of) -> None:
    models = [fake(run_s=0.002) for _ in range(3)]
    list(Engine(models, SMALL).stream(contents_of(texts_of(600))))
    counts = [len(model.batches) for model in models]
    assert min(counts) > 0.6 * max(counts)


def test_the_device_starts_before_a_batch_is_full(fake, contents_of) -> None:
    model = fake(run_s=0.01, prepare_s=0.001)
    engine = Engine([model], EngineOptions(batch_items=32, window=64, threads=1))
    stream = engine.stream(contents_of(["a"] * 400))
    for _ in range(5):
        next(stream)
    assert [len(batch) for batch in model.batches[:2]] == [4, 8]
    stream.close()


def test_an_error_that_is_its_own_cause_ends() -> None:
    try:
        try:
            raise ValueError("ring")
        except ValueError as error:
            raise error from error
    except ValueError as error:
        ring = error
    assert ring.__cause__ is ring
    worker = threading.Thread(target=without_frames, args=(ring,), daemon=True)
    worker.start()
    worker.join(5)
    assert not worker.is_alive()
    assert ring.__traceback__ is None
