"""`python -m llmrouter` is the command line, also where the console script is not on the PATH."""

from __future__ import annotations

from llmrouter.cli import main

if __name__ == "__main__":
    main()
