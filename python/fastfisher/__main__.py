"""``python -m fastfisher`` is the ``fastfisher`` command."""

import sys

from .cli import main

sys.exit(main())
