"""Where tensors are computed with."""

import torch


class DeviceError(ValueError):
    """A device that is asked for isn't there, or is of a kind that can't be trained on."""


def pick_device(wanted: str | torch.device) -> torch.device:
    """Find the device of this name; `auto` is the first GPU where there is one, else the CPU.

    Raises:
        DeviceError: there is no such device here, or it is neither a CPU nor a CUDA GPU.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        # some names are known to torch and fail only when they are used
        torch.zeros(1, device=device).item()
        if device.type not in ("cpu", "cuda"):  # others lack what training needs, as float64
            raise NotImplementedError(f"{device.type} can't train")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"There is no device {str(wanted)!r} here to compute on: there is {', '.join(there)}; "
            "`auto` takes the best of them."
        ) from error
    return device
