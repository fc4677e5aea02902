"""What nothing else beats, of things with a cost and a value."""

import numpy as np


def undominated(costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices of what nothing else beats, by ascending cost; of equals the first one.

    Args:
        costs (ndarray): (n,), lower is better.
        values (ndarray): (n,), higher is better.

    Returns:
        ndarray: (m,) of integers; both costs and values ascend strictly.
    """
    order = np.lexsort((-values, costs))
    ascending = values[order]
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], ascending)))[:-1]
    return order[ascending > best_before]
