"""Commands for users: the console script ``superres`` and its subcommands."""
