"""`python -m jumar` is `jumar`."""

from jumar.cli import main

main()
