"""`python -m server` is `portico`."""

import sys

from server.cli import main

sys.exit(main())
