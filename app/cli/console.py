"""The console of the commands."""

from rich.console import Console


def new_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: names of files and messages of the API may look like markup."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)
