"""Which plain text is prose and which stands line by line: by suffix and by name."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


PROSE = _set(".txt .text .rst .rest .adoc .asciidoc .org .tex .textile .wiki .nfo .me .1st .rss")
LINES = _set(
    """
    .log .json .jsonl .ndjson .json5 .yaml .yml .toml .ini .cfg .conf .properties .env .editorconfig
    .xml .xsd .diff .patch .po .pot .bib .desktop .service .proto .graphql .tf .sql
    .py .pyi .pyx .js .mjs .cjs .jsx .ts .tsx .java .kt .scala .go .rs .c .h .cc .cpp .cxx .hpp .hh .cs
    .rb .php .pl .pm .r .jl .lua .swift .m .f90 .f .pas .asm .s .css .scss .less .vue
    .dot .gv .sh .bash .zsh .fish .bat .ps1 .cmake .mk .gradle .dockerfile
    """
)
"""Code, settings and logs: their line ends matter."""

NAMES = _set(
    """
    readme license licence copying copyright changelog changes news authors contributors contributing
    maintainers install todo notice thanks credits history faq version release releases roadmap security
    support hacking bugs index makefile dockerfile jenkinsfile vagrantfile procfile gemfile rakefile
    """
)
"""Files of these names are text, whatever follows the first dot or dash."""
