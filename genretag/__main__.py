"""Run the command line: ``python -m genretag``."""

from genretag.cli import main

if __name__ == "__main__":
    main()
