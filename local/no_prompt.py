"""What `nameko shell` runs first when its input is not typed: no prompts between the answers."""

import sys

sys.ps1 = sys.ps2 = ""
