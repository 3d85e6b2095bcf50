"""Makes the vectors of this folder: see README.md."""

import json
import os
from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np
from otava.analysis import TTestSignificanceTester, compute_change_points, split
from scipy.stats import PermutationMethod, mannwhitneyu, rankdata

HERE = os.path.dirname(os.path.abspath(__file__))
EXACT_UP_TO = 2000


def counted(a, b):
    """Two-sided p by counting all choices of len(a) of the doubled mean ranks, in whole numbers."""
    ranks = [int(2 * r) for r in rankdata(a + b)]
    ways = [Counter() for _ in range(len(a) + 1)]
    ways[0][0] = 1
    for rank in ranks:
        for chosen in range(len(a), 0, -1):
            for total, count in ways[chosen - 1].items():
                ways[chosen][total + rank] += count
    mine = sum(ranks[: len(a)])
    every = ways[len(a)]
    assert sum(every.values()) == comb(len(ranks), len(a))
    below = sum(count for total, count in every.items() if total <= mine)
    above = sum(count for total, count in every.items() if total >= mine)
    return float(min(Fraction(1), Fraction(2 * min(below, above), sum(every.values()))))


def mann_whitney(name, a, b):
    a, b = [float(x) for x in a], [float(x) for x in b]
    size = len(a) + len(b)
    exact = min(len(a), len(b)) * size <= EXACT_UP_TO
    tied = len(set(a + b)) < size
    if not exact:
        found = mannwhitneyu(a, b, method="asymptotic", use_continuity=True)
    elif not tied:
        found = mannwhitneyu(a, b, method="exact")
    else:
        found = mannwhitneyu(a, b, method="asymptotic")
    p = found.pvalue
    if exact and tied:
        p = counted(a, b)
        if comb(size, len(a)) <= 50_000:
            method = PermutationMethod(n_resamples=np.inf)
            assert abs(mannwhitneyu(a, b, method=method).pvalue - p) < 1e-12, name
    elif exact:
        assert abs(counted(a, b) - p) < 1e-12, name
    return {"name": name, "a": a, "b": b, "u": float(found.statistic), "p": float(p), "exact": exact}


def mann_whitney_vectors():
    random = np.random.default_rng(20261124)
    vectors = [
        mann_whitney("1 against 1", [1], [2]),
        mann_whitney("3 against 3, apart", [1, 2, 3], [11, 12, 13]),
        mann_whitney("4 against 4, apart", [1, 2, 3, 4], [11, 12, 13, 14]),
        mann_whitney("5 against 5, apart", [1, 2, 3, 4, 5], [0, -1, -2, -3, -4]),
        mann_whitney("all equal", [100] * 5, [100] * 4),
        mann_whitney("all of the one, all of the other", [1200] * 3, [1300] * 3),
        mann_whitney("all equal but one", [100] * 6, [100] * 5 + [101]),
    ]
    for first, second in [(2, 5), (6, 6), (7, 3), (8, 8), (12, 9), (20, 20), (31, 31), (3, 600), (40, 12)]:
        a, b = random.normal(100, 10, first), random.normal(105, 10, second)
        vectors.append(mann_whitney(f"{first} against {second}, no ties", a.round(9), b.round(9)))
        a, b = random.poisson(4, first), random.poisson(5, second)
        vectors.append(mann_whitney(f"{first} against {second}, ties", a, b))
        a, b = random.integers(100, 102, first), random.integers(100, 103, second)
        vectors.append(mann_whitney(f"{first} against {second}, few values", a, b))
    for first, second in [(40, 40), (200, 30), (500, 500)]:
        a, b = random.poisson(40, first), random.poisson(42, second)
        vectors.append(mann_whitney(f"{first} against {second}, approximate", a, b))
        a, b = random.integers(0, 2, first), random.integers(0, 2, second)
        vectors.append(mann_whitney(f"{first} against {second}, approximate, two values", a, b))
    return vectors


def merged(series, weak, max_p, min_magnitude):
    """Hunter's merge step: drops the weakest point, with all statistics computed again each time."""
    tester = TTestSignificanceTester(max_p)
    points = list(weak)
    while points:
        intervals = tester.get_intervals(points)
        points = [tester.change_point(one.to_candidate(), series, intervals) for one in points]
        weakest = max(points, key=lambda one: one.stats.pvalue)
        if weakest.stats.pvalue < max_p:
            weakest = min(points, key=lambda one: one.stats.change_magnitude())
            if weakest.stats.change_magnitude() > min_magnitude:
                break
        points.remove(weakest)
    return points


def change_points(name, series, window=50, max_p=0.001, min_magnitude=0.0):
    series = [float(x) for x in series]
    theirs, _ = compute_change_points(
        series, window_len=window, max_pvalue=max_p, min_magnitude=min_magnitude
    )
    relaxed = max_p * 10 if max_p < 0.05 else max_p * 2 if max_p < 0.5 else max_p
    points = merged(series, split(series, window, relaxed), max_p, min_magnitude)
    if [one.index for one in theirs] != [one.index for one in points]:
        print(name, [int(one.index) for one in theirs], [int(one.index) for one in points])
    return {
        "name": name,
        "window": window,
        "max_p": max_p,
        "min_magnitude": min_magnitude,
        "series": series,
        "points": [
            {
                "index": int(point.index),
                "p": float(point.stats.pvalue),
                "before": float(point.stats.mean_1),
                "after": float(point.stats.mean_2),
            }
            for point in points
        ],
    }


def change_point_vectors():
    random = np.random.default_rng(20261125)

    def noisy(*levels, noise=5, each=40):
        return np.concatenate([random.normal(level, noise, each) for level in levels]).round(6)

    vectors = [
        change_points("one step", noisy(100, 120)),
        change_points("up and down", noisy(100, 130, 100)),
        change_points("stairs", noisy(100, 110, 120, 130, 140, noise=3)),
        change_points("nothing", noisy(100, each=200)),
        change_points("a step at the end", np.concatenate([noisy(100), noisy(140, each=6)])),
        change_points("a step at the beginning", np.concatenate([noisy(100, each=6), noisy(140)])),
        change_points("an outlier", np.concatenate([noisy(100), [900], noisy(100)])),
        change_points("a slow rise", np.linspace(100, 200, 120) + noisy(0, each=120)),
        change_points("a step without noise", [100] * 30 + [101] * 30),
        change_points("short", noisy(10, 20, noise=1, each=5)),
        change_points("counts", random.poisson(np.repeat([20, 35, 20], 60))),
        change_points("small changes dropped", noisy(100, 104, 150, noise=1), min_magnitude=0.1),
        change_points("strict", noisy(100, 108, 100, noise=6), max_p=1e-6),
        change_points("lax", noisy(100, 102, noise=6), max_p=0.05),
        change_points("laxer", noisy(100, 102, noise=6), max_p=0.6),
        change_points("a window of 20", noisy(100, 112, 100, 112), window=20),
        change_points("an odd window", noisy(100, 112, 100, 112), window=31),
        change_points("a window longer than the series", noisy(50, 60, 40, each=30), window=500),
    ]
    for seed in range(12):
        levels = random.normal(200, 40, 6)
        series = noisy(*levels, noise=15, each=int(random.integers(15, 60)))
        vectors.append(change_points(f"random {seed}", series))
    return vectors


def write(name, vectors):
    with open(os.path.join(HERE, name), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(one) for one in vectors) + "\n]\n")


write("mann_whitney.json", mann_whitney_vectors())
write("change_points.json", change_point_vectors())
