"""`python -m spinode` is the command `spinode`."""

from .cli import main

raise SystemExit(main())
