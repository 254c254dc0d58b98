import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrag.core.errors import ConfigError, QueryError, UnsupportedModality
from mmrag.embed.content import Content, Picture, Role
from mmrag.embed.mllm.options import Form, MllmOptions, Pooling, Task
from mmrag.embed.mllm.render import render, shorten
from mmrag.embed.texts import end_sentence, protect

ONE, TWO = Picture(lambda: b"1"), Picture(lambda: b"2")
SPECIALS = ("<|image_pad|>", "<|im_end|>", "<|endoftext|>", "<emb>", "[INST]")
CHAT = Form(
    wrap="<sys>{instruction}</sys>{content}<end>",
    text="words {text}!",
    image="{image} seen",
    fused="{image}{text}?",
    instruction="be good",
)


def options(**changes: object) -> MllmOptions:
    given: dict[str, object] = {
        "model": "some/model",
        "architecture": "qwen2_vl",
        "query": CHAT,
        "image_token": "<img>",
    }
    return MllmOptions(**{**given, **changes})  # type: ignore[arg-type]


def asked(*parts: str | Picture, role: Role = "query", **more: str) -> Content:
    return Content(parts, role, **more)


def test_the_form_follows_from_what_there_is() -> None:
    assert render(asked("a cat"), options()).text == "<sys>be good</sys>words a cat!<end>"
    assert render(asked(ONE), options()).text == "<sys>be good</sys><img> seen<end>"
    assert render(asked(ONE, "a cat"), options()).text == "<sys>be good</sys><img>a cat?<end>"
    assert render(asked("a cat", ONE, "on a mat", TWO), options()).text == (
        "<sys>be good</sys><img><img>a cat on a mat?<end>"
    )
    joined = render(asked(ONE, TWO), options(images_joined=", "))
    assert joined.text == "<sys>be good</sys><img>, <img> seen<end>"
    assert joined.pictures == (ONE, TWO)


def test_blank_words_are_no_words() -> None:
    assert render(asked(ONE, " \n"), options()).text == render(asked(ONE), options()).text
    assert render(asked(" "), options(empty_text="NULL")).text == "<sys>be good</sys>words NULL!<end>"
    assert render(asked(), options()).text == "<sys>be good</sys>words !<end>"
    # What stands for nothing are not the caller's words: none of it may be cut.
    assert render(asked(), options(empty_text="NULL")).text_span is None


def test_the_span_holds_the_words_and_nothing_else() -> None:
    rendered = render(asked(ONE, "a cat", "on a mat"), options())
    assert rendered.text_span is not None
    assert rendered.text[slice(*rendered.text_span)] == "a cat on a mat"
    assert render(asked(ONE), options()).text_span is None


def test_places_in_somebodys_words_are_words() -> None:
    words = "{text} {image} {instruction} {content}"
    rendered = render(asked(words, instruction=words), options())
    assert rendered.text == f"<sys>{words}</sys>words {words}!<end>"
    assert rendered.text_span is not None
    assert rendered.text[slice(*rendered.text_span)] == words


@pytest.mark.parametrize(
    "words",
    [
        "see <|image_pad|> there",
        "<emb>",
        "<img>",
        "<|im_end|><|im_end|>",
        "<|im_<|im_end|>end|>",
        "<|image_\rpad|>",
        '"<|image_pad|>"',
        "<new>",
    ],
)
@pytest.mark.parametrize("rule", ["none", "uniir"])
def test_words_never_become_special_tokens(words: str, rule: str) -> None:
    recipe = options(normalize_text=rule, new_tokens=("<new>",), query=Form(wrap="{instruction}|{content}"))
    for content in (asked(words), asked("ok", instruction=words), asked(words, "and", words)):
        rendered = render(content, recipe, SPECIALS)
        assert not any(token in rendered.text for token in (*SPECIALS, "<img>", "<new>"))
        # A carriage return breaks a token up, and normalising, which words alone are, takes it away.
        if "\r" not in words or (rule == "uniir" and content.instruction is None):
            assert len(rendered.notes) == 1
            assert rendered.notes[0].startswith("Read as plain characters")


def test_what_is_harmless_stays_as_it_is() -> None:
    words = "a < b |> c <|image_pad> [inst] <|IM_END|>"
    assert protect(words, SPECIALS) == (words, ())
    assert protect(words, ()) == (words, ())
    assert protect("<|image_pad|>", SPECIALS) == ("< |image_pad|>", ("<|image_pad|>",))
    assert protect("<emb>", ("<e", "<emb>")) == ("< emb>", ("<emb>",))
    assert render(asked(words), options(), SPECIALS).notes == ()


@given(st.text(alphabet="<|emb> a\r", max_size=40))
def test_no_text_holds_a_special_token_after_protection(words: str) -> None:
    tokens = ("<emb>", "<|", "< |", "e", "<  |")
    kept, found = protect(words, tokens)
    assert not any(token in kept for token in tokens)
    assert bool(found) == any(token in words for token in tokens)


@given(st.text(min_size=1), st.integers(-1, 60))
def test_shortening_equals_writing_shorter_words(words: str, keep: int) -> None:
    rendered = render(asked(ONE, words, instruction="find"), options(), SPECIALS)
    short = shorten(rendered, keep)
    if rendered.text_span is None:
        assert short == rendered
        return
    kept = rendered.text[slice(*rendered.text_span)][: max(keep, 0)]
    assert short.text == f"<sys>find</sys><img>{kept}?<end>"
    assert short.text_span is not None
    assert short.text[slice(*short.text_span)] == kept
    assert (short.pictures, short.notes) == (rendered.pictures, rendered.notes)
    assert shorten(short, keep) == short


def test_shortening_spares_the_instruction_before_the_words() -> None:
    form = Form(text="{text}\n:", fused="{image}{text}\n:", instruction_in="text")
    recipe = options(query=form, normalize_text="uniir")
    rendered = render(asked("a long story", instruction="find it"), recipe)
    assert rendered.text == "Find it. a long story.\n:"
    assert shorten(rendered, 6).text == "Find it. a long\n:"
    assert shorten(rendered, 0).text == "Find it. \n:"
    alone = render(asked(ONE, instruction="find it"), recipe)
    assert alone.text == "<img>Find it.\n:"
    assert alone.text_span is None
    assert alone.modalities == {"text", "image"}
    assert render(asked(ONE), recipe).modalities == {"image"}
    assert render(asked("a"), recipe).modalities == {"text"}
    # Also where normalising makes a special token of the instruction.
    sly = render(asked("a cat", instruction="<|im_\rend|>"), recipe, SPECIALS)
    assert sly.text == "< |im_end|>. a cat.\n:"
    assert shorten(sly, 1).text == "< |im_end|>. a\n:"


def test_an_instruction_is_the_callers_else_the_tasks_else_the_forms() -> None:
    recipe = options(tasks={"cars": Task(query="find cars"), "dogs": Task(query="find dogs")}, task="cars")

    def instruction(**more: str) -> str:
        return render(asked("x", **more), recipe).text.removeprefix("<sys>").split("</sys>")[0]

    assert instruction() == "find cars"
    assert instruction(task="dogs") == "find dogs"
    assert instruction(task="dogs", instruction="find me") == "find me"
    # Nothing asked for is what the model takes for nothing.
    assert instruction(instruction=" ") == "be good"
    document = render(asked("x", role="document", task="dogs"), recipe)
    assert document.text == "<sys>be good</sys>words x!<end>"
    with pytest.raises(QueryError, match="no task 'cats'"):
        render(asked("x", task="cats"), recipe)


def test_bare_stands_where_there_is_no_instruction() -> None:
    form = Form(wrap="Instruct: {instruction}\nQuery: {content}", bare="Query: {content}")
    assert render(asked("x"), options(query=form)).text == "Query: x"
    assert render(asked("x", instruction="go"), options(query=form)).text == "Instruct: go\nQuery: x"


def test_an_instruction_that_a_form_does_not_take_is_left_out_and_told() -> None:
    fixed = Form(wrap="{instruction}:{content}", instruction="own", takes_instruction=False)
    by_task = Form(text="{instruction}:{text}", instruction="own", takes_instruction="task")
    tasks = {"match": Task(query="the task's")}
    for form, text in ((fixed, "own:x"), (by_task, "the task's:x")):
        recipe = options(query=form, tasks=tasks)
        rendered = render(asked("x", instruction="mine", task="match"), recipe)
        assert rendered.text == text
        assert rendered.notes == ("some/model takes no instruction here: it was left out.",)
        assert render(asked("x", task="match"), recipe).notes == ()
    nowhere = options(query=Form())
    assert render(asked("x", instruction="mine"), nowhere).notes
    assert render(asked("x", instruction=" "), nowhere).notes == ()


def test_instructions_end_with_punctuation_where_the_recipe_says_so() -> None:
    recipe = options(instruction_full_stop=True)
    assert "<sys>find it.</sys>" in render(asked("x", instruction=" find it "), recipe).text
    assert [end_sentence(text) for text in ("找到它。", "why?", "a)", "a+", "")] == [
        "找到它。",
        "why?",
        "a)",
        "a+.",
        "",
    ]


def test_the_instruction_prefix_ends_at_the_templates_marker() -> None:
    form = Form(wrap="Instruct: {instruction}\nQuery: {content}", bare="Query: {content}")
    recipe = options(query=form, pooling=Pooling(kind="mean", without_instruction="\nQuery: "))
    sly = "a\nQuery: b"
    rendered = render(asked(sly, instruction=sly), recipe)
    assert rendered.instruction_prefix == f"Instruct: {sly}"
    assert render(asked(sly), recipe).instruction_prefix is None
    assert render(asked(sly, role="document", instruction=sly), recipe).instruction_prefix is None
    assert shorten(rendered, 1).instruction_prefix == f"Instruct: {sly}"


def test_a_picture_is_made_up_only_where_there_is_none() -> None:
    recipe = options(query=Form(text="{image}Query: {text}", dummy_pixels=56))
    words, picture = render(asked("x"), recipe), render(asked(ONE), recipe)
    assert (words.text, words.dummy_pixels, words.pictures) == ("<img>Query: x", 56, ())
    assert (picture.text, picture.dummy_pixels) == ("<img>", 0)
    assert words.modalities == {"text"}


def test_what_a_recipe_does_not_take_is_refused() -> None:
    with pytest.raises(UnsupportedModality, match="takes text, and this is: image"):
        render(asked(ONE), options(takes=("text",)))
    with pytest.raises(UnsupportedModality, match="takes image, and this is: text"):
        render(asked("x"), options(takes=("image",)))
    apart = options(fuses=False)
    with pytest.raises(UnsupportedModality, match="not both"):
        render(asked(ONE, "x"), apart)
    assert render(asked(ONE, " "), apart).pictures == (ONE,)
    with pytest.raises(UnsupportedModality, match="takes 1 at a time, and there are 2 pictures"):
        render(asked(ONE, TWO), options(max_pictures=1))
    joined = options(fuses=False, query=Form(instruction_in="text"))
    with pytest.raises(UnsupportedModality, match="not both"):
        render(asked(ONE, instruction="find"), joined)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"wrap": "no place"}, "wrap"),
        ({"bare": "{content}{content}"}, "bare"),
        ({"text": "{image}"}, "text"),
        ({"image": "picture"}, "image"),
        ({"fused": "{image}"}, "fused"),
        ({"dummy_pixels": 56}, "text"),
    ],
)
def test_a_form_without_a_place_is_refused(changes: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError) as error:
        Form(**changes)  # type: ignore[arg-type]
    assert error.value.where == where


def test_lengths_and_markers_that_do_not_fit_are_refused() -> None:
    assert options(dims=(64, 128), dim=64).dim == 64
    for dims in ((), (64, 128)):
        with pytest.raises(ConfigError, match="32 numbers"):
            options(dims=dims, dim=32)
    with pytest.raises(ConfigError, match="marker"):
        options(pooling=Pooling(kind="mean", without_instruction="\nQuery: "))
