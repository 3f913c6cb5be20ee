"""The errors a user may meet: one sentence that says what, where and how to mend it."""


class KgError(Exception):
    """Anything that ends a command with a sentence instead of a traceback.

    The message is shown to the user as it stands.
    """

    exit_code = 1


class WrongUsageError(KgError):
    """The command line, a setting or an argument can't be used as given."""

    exit_code = 2


class GraphError(KgError):
    """The graph database can't be reached, refuses us, or refuses a statement."""


class RebuiltError(GraphError):
    """Another command changed the graph under a step of this one: the step is to be done again.

    `Library` does that by itself; the message is shown only where it happens time and again.
    """

    def __init__(self) -> None:
        super().__init__(
            "Other kg commands changed the graph again and again while this one stood still for "
            "too long (a machine that sleeps or is overloaded?): run this one again."
        )


class NotReadyError(KgError):
    """A step was asked for before the one it builds on (train before ingest, ...)."""


class AudioError(KgError):
    """One file can't become a song. `reason` is in plain words, without the path."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
