"""``python -m alma`` is ``alma``."""

from alma.early import listen

listen()  # before what takes longer to import

from alma.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
