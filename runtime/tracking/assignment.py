"""Who takes what: the pairs of rows and columns that together weigh most.

In: weights [R, C].  Out: indices of pairs.  Next: tracker.py; evaluation/track_metrics.py.
Source: Crouse, On implementing 2D rectangular assignment algorithms, IEEE TAES 2016 (Jonker and Volgenant's shortest
augmenting paths). What has one candidate only is paired at once; the search is for the rest.
"""

import numpy as np

from vedette.runtime.frame import Array


def assign(weights: Array) -> tuple[Array, Array]:
    """Pair rows with columns, each at most once, so that the sum of their weights is greatest.

    Args:
        weights: finite [R, C]; what is 0 or less, or no number, may not be paired.

    Returns:
        int64 [P] rows, rising, and [P] columns.
    """
    allowed = weights > 0
    of_row, of_column = allowed.sum(axis=1), allowed.sum(axis=0)
    sure = allowed & (of_row == 1)[:, None] & (of_column == 1)
    rows, columns = np.nonzero(sure)
    if len(rows) == np.count_nonzero(of_row):
        return rows, columns
    open_rows, open_columns = of_row > 0, of_column > 0
    open_rows[rows], open_columns[columns] = False, False
    rest, others = np.flatnonzero(open_rows), np.flatnonzero(open_columns)
    block = np.where(allowed, weights, 0.0)[np.ix_(rest, others)]
    first, second = _best_pairs(block)
    rows, columns = np.concatenate([rows, rest[first]]), np.concatenate([columns, others[second]])
    order = np.argsort(rows)
    return rows[order], columns[order]


def _best_pairs(weights: Array) -> tuple[Array, Array]:
    """The same for weights of 0 or more, of which 0 may not be paired."""
    wide = weights.shape[0] <= weights.shape[1]
    column_of = _cheapest(-weights if wide else -weights.T)
    rows, columns = np.arange(len(column_of)), column_of
    if not wide:
        rows, columns = columns, rows
    kept = weights[rows, columns] > 0
    return rows[kept], columns[kept]


def _cheapest(cost: Array) -> Array:
    """The column of each row, int64 [R], for the least sum; R <= C.

    Each row begins at its cheapest column; those who find it taken look for a way in turn.
    """
    row_price, column_price = cost.min(axis=1), np.zeros(cost.shape[1])
    column_of, row_of = np.full(cost.shape[0], -1), np.full(cost.shape[1], -1)
    wanted, first = np.unique(cost.argmin(axis=1), return_index=True)
    column_of[first], row_of[wanted] = wanted, first
    for row in np.flatnonzero(column_of < 0):
        _make_room(int(row), cost, row_price, column_price, column_of, row_of)
    return column_of


def _make_room(
    row: int, cost: Array, row_price: Array, column_price: Array, column_of: Array, row_of: Array
) -> None:
    """Give a row a column by the cheapest chain of moves (Dijkstra over reduced costs); the prices stay dual-feasible."""
    shortest = np.full(len(row_of), np.inf)
    via = np.full(len(row_of), -1)
    closed = np.zeros(len(row_of), bool)
    at, length, moved = row, 0.0, []
    while True:
        through = cost[at] - column_price + (length - row_price[at])
        better = (through < shortest) & ~closed
        shortest[better], via[better] = through[better], at
        column = int(np.where(closed, np.inf, shortest).argmin())
        length, closed[column] = float(shortest[column]), True
        if row_of[column] < 0:
            break
        at = int(row_of[column])
        moved.append(at)
    row_price[row] += length
    row_price[moved] += length - shortest[column_of[moved]]
    column_price[closed] -= length - shortest[closed]
    while True:  # back along the chain
        at = int(via[column])
        row_of[column], column_of[at], column = at, column, int(column_of[at])
        if at == row:
            return
