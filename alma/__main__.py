"""``python -m alma`` is ``alma``."""

from alma.cli import main

if __name__ == "__main__":
    main()
