"""Run the command line: `python -m mmrag`."""

from mmrag.cli.main import main

main()
