"""``python -m pipeline_src``: the console script ``superres``."""

from pipeline_src.cli.main import main

if __name__ == "__main__":
    main()
