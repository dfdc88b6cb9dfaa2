"""The README's chart, from the numbers of one run. Needs matplotlib (the extra `bench`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.targets import shown

_OURS: Final = "#1f6feb"
_OTHERS: Final = "#b6bfc9"
_SHOWN: Final = {
    "openai SDK": "openai SDK",
    "LiteLLM Router": "LiteLLM Router",
    "llmrouter, openai, no cache": "llmrouter",
    "llmrouter, openai": "llmrouter, and a cache miss",
}


def draw(run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `performance.svg` and `performance.png` to `folder`."""
    import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]

    mpl.use("svg")
    from matplotlib import pyplot as plt  # type: ignore[import-not-found,unused-ignore]

    plt.rcParams.update(
        {"font.size": 11, "svg.fonttype": "path", "svg.hashsalt": "llmrouter", "axes.spines.right": False}
    )
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
    one = {name: each["median_ms"] for name, each in run["one call"].items()}
    crowd = {name: each["calls_per_s"] for name, each in run["many at once"]["64"].items()}
    stream = {name: each["median_ms"] for name, each in run["stream of 200"].items()}
    stream["llmrouter, openai, no cache"] = stream.pop("llmrouter, openai")
    _bars(axes[0], "One call\nmilliseconds, less is better", one)
    _bars(axes[1], "64 calls at once\ncalls a second, more is better", crowd)
    _bars(axes[2], "A stream of 200 chunks\nmilliseconds, less is better", stream)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "performance.svg", folder / "performance.png"]
    for path in paths:
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else {})
    plt.close(figure)
    return paths


def _bars(axis: Any, title: str, values: Mapping[str, float]) -> None:
    names = [name for name in _SHOWN if name in values][::-1]
    colours = [_OURS if name.startswith("llmrouter") else _OTHERS for name in names]
    bars = axis.barh([_SHOWN[name] for name in names], [values[name] for name in names], color=colours)
    axis.bar_label(bars, fmt=shown, padding=3)
    axis.set_title(title, loc="left", fontsize=11)
    axis.margins(x=0.15)
    axis.set_xticks([])
    axis.spines[["top", "bottom"]].set_visible(False)
