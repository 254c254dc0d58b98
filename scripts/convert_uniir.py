"""Turn a checkpoint that UniIR publishes into a folder for the recipes uniir-clip-sf and uniir-blip-ff.

python scripts/convert_uniir.py clip-sf clip_sf_large.pth CLIP_VIT_L_14_FOLDER uniir-clip-sf-large
"""

import argparse
import sys
from pathlib import Path

from mmrag.core.errors import MmragError
from mmrag.embed.dual.uniir import convert


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=["clip-sf", "blip-ff"])
    parser.add_argument("checkpoint", type=Path, help="the .pth file of TIGER-Lab/UniIR")
    parser.add_argument("base", type=Path, help="the model it was trained from, for tokenizer and processor")
    parser.add_argument("folder", type=Path, help="where to")
    parser.add_argument("--trusted", action="store_true", help="the file may run code while it is read")
    given = parser.parse_args()
    try:
        convert(given.kind, given.checkpoint, given.base, given.folder, trusted=given.trusted)
    except MmragError as error:
        sys.exit(str(error))
    print(f"{given.folder} is ready: mmrag sync DIR --recipe uniir-{given.kind} --model {given.folder}")


if __name__ == "__main__":
    main()
