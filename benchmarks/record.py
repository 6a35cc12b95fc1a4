"""Write down what a run reached: `python benchmarks/record.py RUN [--note TEXT]` -> `recipes/results/NAME.json`.

The file holds the run's scores with signatures, its size, updates and seconds, the keys that differ from the recipe
of its name, and machine, versions and commit. Nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from measure import facts, write

from s2s.build.folder import RunFolder
from s2s.build.words import recipes
from s2s.config import Config
from s2s.config.io import check, read_toml
from s2s.sweeps.ran import count_parameters

RESULTS = Path(__file__).resolve().parent.parent / "recipes" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", help="of the file; the run's if left out")
    parser.add_argument("--note", default="", help="what a reader should know, such as other work on the machine")
    words = parser.parse_args()
    found = record(words.run, words.note)
    path = RESULTS / f"{words.name or found['name']}.json"
    write(path, found)
    print(path)


def record(run: Path, note: str) -> dict[str, Any]:
    """What is known of a finished run, from its folder alone."""
    folder = RunFolder(run)
    config, about = folder.read()
    validated = [line for line in folder.log_lines() if line["event"] == "valid"]
    shown = dict.fromkeys(("step", "seconds", "loss", config.training.metric))
    return {
        "name": config.name,
        "changed": changed(config),
        "parameters": count_parameters(folder.weights),
        "updates": validated[-1]["step"],
        "epochs": validated[-1]["epoch"],
        "seconds": validated[-1]["seconds"],
        "validation": [{key: line[key] for key in shown} for line in validated],
        "test": json.loads(folder.scores.read_text(encoding="utf-8")),
        "identity": about["identity"],
        "machine": facts("cpu"),
        "note": note,
    }


def changed(config: Config) -> dict[str, Any]:
    """Keys with another value than in the recipe of the run's name; all that are no default where there is none."""
    path = recipes().get(config.name)
    base = check(read_toml(path), str(path)) if path else Config()
    before, now = base.model_dump(mode="json"), config.model_dump(mode="json")
    skipped = {"data.root", "data.train", "data.valid", "data.test"}
    return {
        f"{section}.{key}": value
        for section, keys in now.items()
        if isinstance(keys, dict)
        for key, value in keys.items()
        if value != before[section][key] and f"{section}.{key}" not in skipped
    }


if __name__ == "__main__":
    main()
