import tracemalloc
from email.message import EmailMessage
from pathlib import Path

import pytest

from mmrag.core.errors import Corrupt, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId
from mmrag.corpus.readers.mail.reader import MailReader
from mmrag.testing import FakeOcr, ReaderContract

HEAD = b"From: Ann Bee <ann@example.org>\nTo: bo@example.org\nSubject: The relay\n"


def _mail(text: str = "The relay opens.", *, subject: str = "The relay") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["Date"] = "Ann Bee <ann@example.org>", "Mon, 06 May 2024 07:08:09 +0200"
    mail["Subject"] = subject
    mail.set_content(text)
    return mail


def _box(*mails: EmailMessage | bytes) -> bytes:
    head = b"From ann@example.org Mon May  6 07:08:09 2024\n"
    raw = [mail if isinstance(mail, bytes) else mail.as_bytes() for mail in mails]
    return b"".join(head + mail.rstrip(b"\n") + b"\n\n" for mail in raw)


def _read(folder: Path, data: bytes, *, limits: ReadLimits | None = None) -> Reading:
    (folder / "a.mbox").write_bytes(data)
    source = Source(SourceId("a.mbox"), digest_bytes(data), len(data), "application/mbox")
    return MailReader().read(
        folder / "a.mbox", source, ReadContext(folder, FakeOcr(), limits or ReadLimits())
    )


def _subjects(reading: Reading) -> list[str]:
    return [block.text for block in reading.blocks if block.kind == "heading"]


class TestMailbox(ReaderContract):
    media_type = "application/mbox"
    words = ("First", "Second", "24 months")

    def make(self) -> Reader:
        return MailReader()

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "box.mbox"
        path.write_bytes(_box(_mail("It lasts 24 months.", subject="First"), _mail("Bye.", subject="Second")))
        return [path]


def test_each_message_of_a_box_has_its_heading_place_and_fields(tmp_path: Path) -> None:
    reading = _read(tmp_path, _box(_mail(subject="First"), _mail("Bye.", subject="")))
    assert _subjects(reading) == ["First", "(no subject)"]
    first, last = reading.blocks[0], reading.blocks[-1]
    assert first.metadata[PLACE] == "message 1"
    assert first.metadata["subject"] == "First"
    assert last.metadata[PLACE] == "message 2"
    assert last.metadata["from"] == "Ann Bee <ann@example.org>"
    assert "subject" not in last.metadata
    assert reading.title == ""


def test_lines_that_begin_with_from_stay_in_their_message(tmp_path: Path) -> None:
    body = (
        "Hello.\n\nFrom now on it opens.\nFrom here it is far.\n\nFrom 7:30 we are there.\n>From the start.\n"
    )
    reading = _read(tmp_path, _box(HEAD + b"\n" + body.encode(), _mail()))
    assert len(_subjects(reading)) == 2
    text = " ".join(block.text for block in reading.blocks)
    assert all(words in text for words in ("From now on", "From here it", "From 7:30", "From the start."))
    assert ">From" not in text


def test_messages_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    box = _box(*[_mail(subject=f"Mail {i}") for i in range(12)])
    reading = _read(tmp_path, box, limits=ReadLimits(max_pages=10))
    assert len(_subjects(reading)) == 10
    assert reading.problems == ("Of 12 messages, 2 were not read.",)


def test_messages_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    box = _box(_mail(), b"\nno headers\n", HEAD + b"\n" + b"x" * 5000 + b"\n", _mail(subject="Last"))
    reading = _read(tmp_path, box, limits=ReadLimits(max_text_bytes=4000))
    assert reading.problems == (
        "Of 4 messages, 1 exceed the limit of a text.",
        "Of 4 messages, 1 have no headers.",
    )
    assert _subjects(reading)[-1] == "Last"


def test_what_many_messages_lack_is_said_once(tmp_path: Path) -> None:
    mail = _mail()
    mail.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="a.pdf")
    bad = HEAD + b"Content-Type: text/plain; charset=x\n\nGr\xfc\xdfe\n"
    reading = _read(tmp_path, _box(mail, mail, bad, bad))
    assert len(reading.problems) == 2
    assert reading.problems[0].startswith("The attachment a.pdf was not read")
    assert reading.problems[1].startswith("In 2 texts: The encoding")


def test_a_text_is_no_mailbox(tmp_path: Path) -> None:
    for data in (b"Dear Ann,\n", b"From here to there.\n", HEAD + b"\nHi.\n"):
        with pytest.raises(Corrupt, match="no mailbox"):
            _read(tmp_path, data)


def test_progress_is_told_for_each_message(tmp_path: Path) -> None:
    box = _box(*[_mail(subject=f"Mail {i}") for i in range(5)])
    (tmp_path / "a.mbox").write_bytes(box)
    said: list[tuple[int, int]] = []
    context = ReadContext(tmp_path, progress=lambda done, total: said.append((done, total)))
    source = Source(SourceId("a.mbox"), "", len(box), "application/mbox")
    MailReader().read(tmp_path / "a.mbox", source, context)
    assert [done for done, _ in said] == [1, 2, 3, 4, 5]
    assert said[-1] == (5, 5)
    assert all(done <= total for done, total in said)


def test_a_large_box_is_read_as_a_stream(tmp_path: Path) -> None:
    mail = _mail()
    mail.add_attachment(bytes(100_000), maintype="application", subtype="pdf", filename="a.pdf")
    path = tmp_path / "a.mbox"
    path.write_bytes(_box(*[mail.as_bytes()] * 60))
    size = path.stat().st_size
    source = Source(SourceId("a.mbox"), "", size, "application/mbox")
    tracemalloc.start()
    try:
        MailReader().read(path, source, ReadContext(tmp_path, FakeOcr()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 4


def test_a_box_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge) as caught:
        _read(tmp_path, _box(_mail()), limits=ReadLimits(max_bytes=50))
    assert "Split it" in caught.value.fix
