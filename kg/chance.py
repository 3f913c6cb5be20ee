"""Seeds: what every library that draws lots can be given."""

from typing import Final

from kg.errors import WrongUsageError

# scikit-learn's are uint32; torch's and NumPy's reach further.
MOST_SEED: Final = 2**32 - 1


def check_seed(seed: int) -> None:
    """Refuse a seed that can't be used everywhere.

    Raises:
        WrongUsageError: it is below 0 or above 2^32 - 1.
    """
    if not 0 <= seed <= MOST_SEED:
        raise WrongUsageError(f"A seed is a number from 0 to {MOST_SEED}, not {seed}.")
