"""`python -m tiltlm`."""

from __future__ import annotations

from tiltlm.cli.app import main

if __name__ == "__main__":
    main()
