from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import Corrupt, SourceError, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext, Reader, ReadLimits
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Box, Source, SourceId, Span
from mmrag.corpus.readers.mail.reader import MailReader
from mmrag.testing import ReaderContract
from mmrag.testing.samples import picture_of

PICTURE = picture_of("terminal A2")
HEAD = "From: Ann Bee <ann@example.org>\nTo: bo@example.org\nSubject: The relay\n"


class ScriptedOcr:
    identity = "scripted/1"

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        return (OcrLine("terminal A2", Box(0.1, 0.1, 0.5, 0.2), 0.9),)


def _mail(text: str = "The relay opens.", *, html: str = "", subject: str = "The relay") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Cc"] = "Ann Bee <ann@example.org>", "bo@example.org", "cy@example.org"
    mail["Date"] = "Mon, 06 May 2024 07:08:09 +0200"
    mail["Subject"] = subject
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def _read(folder: Path, data: bytes | str | EmailMessage, *, limits: ReadLimits | None = None) -> Reading:
    raw = data.as_bytes() if isinstance(data, EmailMessage) else data
    raw = raw.encode() if isinstance(raw, str) else raw
    (folder / "a.eml").write_bytes(raw)
    source = Source(SourceId("a.eml"), digest_bytes(raw), len(raw), "message/rfc822")
    context = ReadContext(folder, ScriptedOcr(), limits or ReadLimits())
    return MailReader().read(folder / "a.eml", source, context)


def _body(reading: Reading) -> list[str]:
    """Return the texts below the subject and the other headers."""
    return [block.text for block in reading.blocks if not block.text.startswith("From: ")][1:]


def _of_kind(reading: Reading, kind: str) -> list[Block]:
    return [block for block in reading.blocks if block.kind == kind]


class TestMail(ReaderContract):
    media_type = "message/rfc822"
    words = ("The relay", "Ann Bee", "2024-05-06", "24 months", "Attachment: prices.csv", "Fuse")

    def make(self) -> Reader:
        return MailReader()

    def write_samples(self, folder: Path) -> list[Path]:
        mail = _mail("The warranty lasts 24 months.\n\n> How long?\n")
        mail.add_attachment("Part,Price\nFuse,4.20\n", subtype="csv", filename="prices.csv")
        mail.add_attachment(PICTURE, maintype="image", subtype="png", filename="wiring.png")
        path = folder / "mail.eml"
        path.write_bytes(mail.as_bytes(policy=SMTP))
        return [path]


def test_headers_are_title_lines_and_fields(tmp_path: Path) -> None:
    reading = _read(tmp_path, _mail(subject="Grüße vom Relais"))
    heading, headers, body = reading.blocks
    assert (heading.level, heading.text) == (1, "Grüße vom Relais") == (1, reading.title)
    assert headers.text == (
        "From: Ann Bee <ann@example.org>\nTo: bo@example.org\nCc: cy@example.org\n"
        "Date: 2024-05-06 07:08+02:00"
    )
    assert body.text == "The relay opens."
    assert reading.metadata == {
        "subject": "Grüße vom Relais",
        "from": "Ann Bee <ann@example.org>",
        "to": "bo@example.org",
        "date": "2024-05-06",
    }
    assert [b.metadata for b in reading.blocks] == [{PLACE: ""}] * 3


def test_spans_count_the_characters_of_the_texts(tmp_path: Path) -> None:
    reading = _read(tmp_path, _mail("One.\n\nTwo."))
    text = "\n\n".join(block.text for block in reading.blocks)
    for block in reading.blocks:
        assert isinstance(block.locator, Span)
        assert text[block.locator.start : block.locator.end] == block.text


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64", "8bit"])
def test_transfer_encodings_are_undone(tmp_path: Path, encoding: str) -> None:
    text = "The relay = open." if encoding == "7bit" else "Das Relais öffnet = offen."
    mail = EmailMessage()
    mail["From"] = "ann@example.org"
    mail.set_content(text, cte=encoding)
    assert _read(tmp_path, mail).blocks[-1].text == text


@pytest.mark.parametrize(
    ("charset", "raw", "problems"),
    [
        ("iso-8859-15", "Preis: 5 €".encode("iso-8859-15"), 0),
        ("iso-8859-1", "Preis: 5 €".encode("cp1252"), 0),
        ("us-ascii", "Preis: 5 €".encode(), 0),
        ("x-no-such", "Preis: 5 €".encode(), 0),
        ("x-no-such", "Preis: 5 €".encode("cp1252"), 1),
        ("undefined", "Preis: 5 €".encode("cp1252"), 1),
        ("base64", "Preis: 5 €".encode("cp1252"), 1),
        ("a\x00b", "Preis: 5 €".encode("cp1252"), 1),
    ],
)
def test_charsets_are_as_declared_or_guessed(tmp_path: Path, charset: str, raw: bytes, problems: int) -> None:
    head = HEAD.encode() + f"Content-Type: text/plain; charset={charset}\n\n".encode()
    reading = _read(tmp_path, head + raw)
    assert _body(reading) == ["Preis: 5 €"]
    assert len(reading.problems) == problems


def test_wrapped_lines_are_joined_and_quotes_stand_apart(tmp_path: Path) -> None:
    text = (
        "Dear Ann, the relay opens when the supply falls below eighteen volts and\n"
        "it closes again once the voltage is back.\n"
        "\n"
        "On Monday Bo wrote:\n"
        "> How does the relay know that the supply is back, and does it wait long\n"
        "> enough?\n"
        ">\n"
        ">> It is new.\n"
        "Yes.\n"
        "- two seconds\n"
        "- twenty volts\n"
        "\n"
        "-- \n"
        "Cy Dee\n"
        "Halden Ltd\n"
    )
    assert _body(_read(tmp_path, HEAD + "\n" + text)) == [
        "Dear Ann, the relay opens when the supply falls below eighteen volts and it closes again once the "
        "voltage is back.",
        "On Monday Bo wrote:",
        "> How does the relay know that the supply is back, and does it wait long enough?",
        "> It is new.",
        "Yes.\n- two seconds\n- twenty volts",
        "Cy Dee\nHalden Ltd",
    ]


@pytest.mark.parametrize(
    ("delsp", "joined"), [("no", "The relay opens at once."), ("yes", "Therelay opensat once.")]
)
def test_flowed_lines_are_joined(tmp_path: Path, delsp: str, joined: str) -> None:
    head = f"{HEAD}Content-Type: text/plain; format=flowed; delsp={delsp}\n\n"
    reading = _read(tmp_path, head + "The \nrelay opens \nat once.\n\n> Does \n> it?\n\n-- \nAnn\n")
    assert _body(reading)[0] == joined
    assert _body(reading)[1].replace("Doesit", "Does it") == "> Does it?"
    assert _body(reading)[2] == "Ann"


def test_html_is_read_where_there_is_no_text(tmp_path: Path) -> None:
    html = (
        "<html><head><title>Never</title><style>p {}</style></head><body><h2>Prices</h2>"
        "<p>Dear Ann,<br>see below.</p><table><tr><th>Part</th><th>Price</th></tr>"
        "<tr><td>Fuse</td><td>4.20</td></tr></table></body></html>"
    )
    mail = _mail()
    mail.set_content(html, subtype="html")
    reading = _read(tmp_path, mail)
    assert _body(reading) == ["Prices", "Dear Ann,\nsee below.", "Part | Price\nFuse | 4.20"]
    assert [block.kind for block in reading.blocks[2:]] == ["heading", "paragraph", "table"]


def test_of_two_versions_the_plain_one_is_read(tmp_path: Path) -> None:
    reading = _read(tmp_path, _mail("The relay opens.", html="<p>The <b>relay</b> opens.</p>"))
    assert _body(reading) == ["The relay opens."]


def test_a_plain_version_that_says_nothing_gives_way(tmp_path: Path) -> None:
    html = (
        "<p>The relay opens when the supply falls below eighteen volts, and closes again when it is back.</p>"
    )
    reading = _read(tmp_path, _mail("See the web page.", html=html))
    assert _body(reading)[0].startswith("The relay opens when")


def test_an_invitation_is_read_beside_its_words(tmp_path: Path) -> None:
    mail = _mail("Come.", html="<p>Come.</p>")
    mail.add_alternative("BEGIN:VCALENDAR\nLOCATION:Oslo\nEND:VCALENDAR\n", subtype="calendar")
    assert _body(_read(tmp_path, mail)) == [
        "Come.",
        "Attachment: invitation",
        "BEGIN:VCALENDAR\nLOCATION:Oslo\nEND:VCALENDAR",
    ]


def test_pictures_are_figures_where_they_are_shown(tmp_path: Path) -> None:
    mail = _mail("", html='<p>Before.</p><img src="cid:wiring"><p>After.</p>')
    page = mail.get_payload()[1]
    page.add_related(PICTURE, "image", "png", cid="<wiring>", filename="wiring.png")
    reading = _read(tmp_path, mail)
    kinds = [block.kind for block in reading.blocks[2:]]
    assert kinds == ["paragraph", "figure", "paragraph"]
    (figure,) = _of_kind(reading, "figure")
    assert figure.parts[0].media == digest_bytes(PICTURE) == reading.blobs[0].digest
    assert "terminal A2" in figure.text
    assert figure.neighbours == "Before.\nAfter."


def test_pictures_of_the_version_that_is_not_read_are_kept(tmp_path: Path) -> None:
    mail = _mail("The wiring is attached.", html='<p>The wiring.</p><img src="cid:wiring">')
    mail.get_payload()[1].add_related(PICTURE, "image", "png", cid="<wiring>", filename="wiring.png")
    reading = _read(tmp_path, mail)
    assert _body(reading)[0] == "The wiring is attached."
    assert len(_of_kind(reading, "figure")) == 1


def test_attached_texts_are_read_under_their_names(tmp_path: Path) -> None:
    mail = _mail()
    mail.add_attachment("The notes.", filename="notes.txt")
    mail.add_attachment("Part,Price\nFuse,4.20\n", subtype="csv", filename="prices.csv")
    mail.add_attachment("<p>The page.</p>", subtype="html", filename="page.html")
    mail.add_attachment(b"The *list*.", maintype="application", subtype="octet-stream", filename="list.md")
    reading = _read(tmp_path, mail)
    assert _body(reading)[1:] == [
        "Attachment: notes.txt",
        "The notes.",
        "Attachment: prices.csv",
        "Part,Price\nFuse,4.20",
        "Attachment: page.html",
        "The page.",
        "Attachment: list.md",
        "The *list*.",
    ]
    assert {block.level for block in _of_kind(reading, "heading")} == {1, 2}
    assert reading.problems == ()


def test_other_attachments_are_named(tmp_path: Path) -> None:
    mail = _mail()
    mail.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="Prüfbericht.pdf")
    assert _read(tmp_path, mail).problems == (
        "The attachment Prüfbericht.pdf was not read: save it beside the mail.",
    )
    mail.add_attachment(b"PK", maintype="application", subtype="zip", filename="all.zip")
    assert _read(tmp_path, mail).problems == (
        "2 attachments were not read: Prüfbericht.pdf, all.zip: save them beside the mail.",
    )


def _signed(kind: str, *parts: str) -> str:
    inner = "".join(f"--b\n{part}\n" for part in parts)
    return f"{HEAD}Content-Type: multipart/{kind}; boundary=b\n\n{inner}--b--\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_signed("encrypted", "Content-Type: application/pgp-encrypted\n\nVersion: 1"), "encrypted"),
        (HEAD + "Content-Type: application/pkcs7-mime; name=smime.p7m\n\nMIIB", "encrypted"),
        (HEAD + "\n-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n", "encrypted"),
        (
            _signed("mixed", "\nHello.", "Content-Type: application/ms-tnef; name=winmail.dat\n\nAAAA"),
            "winmail.dat",
        ),
        (_signed("mixed", "\nHello.", "Content-Type: message/external-body\n\nX: y\n"), "kept elsewhere"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, data: str, said: str) -> None:
    (problem,) = _read(tmp_path, data).problems
    assert said in problem


def test_signatures_are_left_out_without_a_word(tmp_path: Path) -> None:
    parts = ("\nSigned words.", "Content-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN")
    reading = _read(tmp_path, _signed("signed", *parts))
    assert (_body(reading), reading.problems) == (["Signed words."], ())
    inline = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSigned words.\n"
        "-----BEGIN PGP SIGNATURE-----\n\niQIz\n-----END PGP SIGNATURE-----\n"
    )
    assert _body(_read(tmp_path, HEAD + "\n" + inline)) == ["Signed words."]


def test_a_mail_in_a_mail_stands_under_its_subject(tmp_path: Path) -> None:
    mail = _mail("See below.")
    mail.add_attachment(_mail("The older words.", subject="Older"))
    reading = _read(tmp_path, mail)
    assert [(b.level, b.text) for b in _of_kind(reading, "heading")] == [(1, "The relay"), (2, "Older")]
    assert reading.blocks[-1].text == "The older words."
    assert sum(b.text.startswith("From: Ann Bee") for b in reading.blocks) == 2


def test_the_fields_of_a_bounce_are_words(tmp_path: Path) -> None:
    status = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nAction: failed\nStatus: 5.0.0"
    assert (
        "Action: failed\nStatus: 5.0.0"
        in _read(tmp_path, _signed("report", "\nSorry.", status)).blocks[-1].text
    )


def test_a_message_of_an_unknown_kind_is_read_as_a_mail(tmp_path: Path) -> None:
    data = _signed("mixed", "Content-Type: message/x-odd\n\nSubject: Older\n\nThe older words.", "\nBye.")
    assert _body(_read(tmp_path, data)) == ["Older", "The older words.", "Bye."]


@pytest.mark.parametrize(
    "header",
    [
        "Date: yesterday",
        "Date: Mon, 99 Foo 99999 99:99:99 +9999",
        "Date:",
        "Subject: =?utf-8?q?torn",
        "Subject: =?no-such?b?////?=",
        "Subject: " + "(" * 5000,
        "To: " + ", ".join(f'"A {i}" <a{i}@example.org>' for i in range(20_000)),
        'Content-Type: text/plain; charset="',
        "Content-Type: ;;;===",
        "Content-Type: multipart/mixed",
        "Content-Disposition: attachment; filename*0*=utf-8''%ff; filename*1=x",
        "Content-Transfer-Encoding: x-uuencode",
        "Content-Transfer-Encoding: base64",
        "Bad header without a colon",
        "Subject: one\nSubject: two\nFrom: three@example.org",
    ],
)
def test_broken_headers_are_no_errors(tmp_path: Path, header: str) -> None:
    reading = _read(tmp_path, f"From: ann@example.org\n{header}\n\nThe relay opens.\n")
    assert reading.blocks
    assert all(len(block.text) < 6000 for block in reading.blocks)


def test_eight_bit_headers_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8", "cp1252"):
        reading = _read(tmp_path, "From: ann@example.org\nSubject: Grüße\n\nHi.\n".encode(encoding))
        assert reading.title == "Grüße"


def test_parts_nested_without_end_are_named(tmp_path: Path) -> None:
    data = HEAD
    for i in range(10_000):
        data += f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"
    reading = _read(tmp_path, data + "\nThe relay opens.\n")
    assert reading.title == "The relay"
    assert "nested too deeply" in reading.problems[0]


def test_a_hundred_levels_are_cut_with_a_note(tmp_path: Path) -> None:
    data = HEAD
    for i in range(100):
        data += f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"
    reading = _read(tmp_path, data + "\nThe relay opens.\n")
    assert "too many parts" in reading.problems[0]


def test_ten_thousand_parts_are_cut_with_a_note(tmp_path: Path) -> None:
    reading = _read(tmp_path, _signed("mixed", *["\nHello."] * 10_000))
    assert len(reading.problems) == 1
    assert "too many parts" in reading.problems[0]


@pytest.mark.parametrize("data", ["Dear Ann,\n\nthe relay opens.\n", "\n\n\n", "Note: this\n\nis no mail.\n"])
def test_a_text_is_no_mail(tmp_path: Path, data: str) -> None:
    with pytest.raises(Corrupt, match="no mail"):
        _read(tmp_path, data)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_after_the_headers_are_read(data: bytes) -> None:
    _is_told(b"From: a\nContent-Type: multipart/mixed; boundary=b\n" + data)


@given(st.text(alphabet="=?utf-8qbQB_ \n\t\"();:<>@,*'%0aé€", max_size=80))
@settings(deadline=None)
def test_any_header_is_read(value: str) -> None:
    for name in ("Subject", "From", "Date", "Content-Type", "Content-Disposition", "Content-ID"):
        _is_told(f"From: a\n{name}: {value}\n\nHi.\n".encode())


def _is_told(data: bytes) -> None:
    """Check that a mail becomes a Reading that holds its sender, or an error that says what to do."""
    with TemporaryDirectory() as folder:
        outcome: Reading | SourceError
        try:
            outcome = _read(Path(folder), data)
        except SourceError as error:
            outcome = error
    if isinstance(outcome, SourceError):
        assert all((outcome.message, outcome.fix, outcome.where))
        return
    assert any("From: " in block.text for block in outcome.blocks)
    assert all(block.text.strip() for block in outcome.blocks if block.kind != "figure")


def test_a_mail_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge) as caught:
        _read(tmp_path, HEAD + "\n" + "x" * 100, limits=ReadLimits(max_text_bytes=50))
    assert caught.value.fix
