"""Read table files: CSV, TSV and Parquet."""

from __future__ import annotations

from pathlib import Path

from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Format, Reading
from mmrag.core.types import Source
from mmrag.corpus.readers.tables.delimited import read_table_text
from mmrag.corpus.readers.tables.parquet import read_parquet

_PARQUET = "application/vnd.apache.parquet"


class TableReader:
    """Reads tables that are files of their own; the sheet of their places is ''."""

    name = "table"
    version = 1
    formats = (
        Format("text/csv", "a CSV table", (".csv",)),
        Format("text/tab-separated-values", "a TSV table", (".tsv",)),
        Format(_PARQUET, "a Parquet table", (".parquet",), rb"PAR[1E]"),
    )
    about = (
        About(
            "CSV, TSV",
            "each row with its number under the header; rows too wide for a passage as lines `column: value`",
            "more than 200,000 rows or 200 MB; where no header is found, the columns are numbered",
        ),
        About(
            "Parquet",
            "names and types of the columns, each row with its number, pictures in binary columns",
            "more than 200,000 rows; other binary columns; columns of vectors",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a table; rows count as in a spreadsheet, the names of a Parquet file as row 1.

        Raises:
            Corrupt: It is not what its name says, or torn.
            Empty: It has no words.
            Encrypted: It needs a key.
            TooLarge: It exceeds `limits.max_text_bytes`, or `limits.max_bytes` for Parquet.
        """
        read = read_parquet if source.media_type == _PARQUET else read_table_text
        return read(path, source, context)
