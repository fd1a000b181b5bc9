"""What got slower between two runs of `macrosplat bench --figures FILE`; exits with 1 if anything did.

python benchmarks/slower.py benchmarks/baseline_h200.json now.json
"""

from __future__ import annotations

import sys
from pathlib import Path

from macrosplat.bench import slower

if __name__ == "__main__":
    lines = slower(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(lines) or "nothing got slower")
    sys.exit(1 if lines else 0)
