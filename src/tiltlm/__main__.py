"""`python -m tiltlm`."""

from tiltlm.cli import main

if __name__ == "__main__":
    main()
