"""What ends a command early."""


class CommandFailed(Exception):
    """The command cannot do what was asked; exit code 1. The message is one line that says why and what to do."""


class Interrupted(Exception):
    """A signal asked the command to end. `exit_code` is what shells expect then."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.exit_code = 128 + number
