"""Read PDF: words with their places, headings, tables, figures; scans by OCR."""
