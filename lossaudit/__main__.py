"""``python -m lossaudit``."""

from lossaudit.cli import main

if __name__ == "__main__":
    main()
