"""`python -m visualcloze_nb` is the command `visualcloze-nb`."""

import sys

from visualcloze_nb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
