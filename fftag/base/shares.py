"""Shares, and how far they may be from what they are drawn from."""

import numpy as np

Z_95 = 1.959964


def wilson(found: np.ndarray, of: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % Wilson interval of a share (Wilson, JASA 22, 1927); 0 to 1 where `of` is 0.

    Args:
        found: counts.
        of: how many were counted.

    Returns:
        Lower and upper bounds.
    """
    found, of = np.broadcast_arrays(np.asarray(found, dtype=float), np.asarray(of, dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = found / of
        centre = (share + Z_95**2 / (2 * of)) / (1 + Z_95**2 / of)
        reach = (
            Z_95 / (1 + Z_95**2 / of) * np.sqrt(share * (1 - share) / of + Z_95**2 / (4 * of**2))
        )
    # Rounding may leave a bound on the wrong side of a share of 0 or 1.
    low = np.clip(np.fmin(centre - reach, share), 0, 1)
    high = np.clip(np.fmax(centre + reach, share), 0, 1)
    return np.where(of > 0, low, 0.0), np.where(of > 0, high, 1.0)
