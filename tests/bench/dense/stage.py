"""Run one stage: `python -m dense.stage MODULE:FUNCTION ARGUMENTS RESULT`, the arguments as JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    stage, arguments, result = sys.argv[1:]
    module, _, function = stage.partition(":")
    facts = getattr(import_module(f"dense.{module}"), function)(**json.loads(arguments))
    Path(result).write_text(json.dumps(facts), encoding="utf-8")
