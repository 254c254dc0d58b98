"""Read Word, PowerPoint, Excel and OpenDocument out of their XML."""
