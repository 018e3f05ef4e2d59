"""`python -m tiltlm`."""

from __future__ import annotations

from tiltlm.cli.main import main

if __name__ == "__main__":
    main()
