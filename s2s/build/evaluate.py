"""`s2s evaluate`: every system on the same references, scored together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, assert_never

from rich.console import Console

from s2s.build.apart import evaluate_dialogues, evaluate_tasks, is_task, speaks
from s2s.build.folder import RunFolder
from s2s.build.load import Precision, load_translator
from s2s.build.report import answer, drawings, one_line, write_report
from s2s.build.testsets import TestSet, named_test_set, own_test_sets, system_of_file, trained_targets
from s2s.build.words import split_search
from s2s.config import Data
from s2s.errors import UserError
from s2s.evaluation import Evaluation, System, Table, summary, tables
from s2s.evaluation.pages import facts
from s2s.evaluation.words import as_text
from s2s.metrics import LOWERED, Tokenize, bleu, compared_scores
from s2s.metrics.buckets import word_counts
from s2s.metrics.own import Function, apply_metric, load_metric
from s2s.metrics.sampling import Sampling
from s2s.translator import Translator


@dataclass(frozen=True)
class Wanted:
    """The words of `s2s evaluate`; None where the default counts.

    Attributes:
        words: run directories, and keys of `[search]` that hold for all of them.
        systems: `NAME=FILE` of translations; the first run or system is what others are compared with.
        data: files of pairs; each run's own test set if empty.
        to: the language of their targets, of runs with several.
        precision: of the products.
        bootstrap, seed, paired, trials: see `metrics.sampling.Sampling`.
        tokenize: what BLEU's words are cut with.
        own: metrics as `python:package.module:function`.
        tables, examples, report: whether by-length and other tables are wanted, worst sentences, the report's folder.
        vectors, samples: of runs of dialogues, see `build.replies.Asked`.
    """

    words: Sequence[str]
    systems: Sequence[str] = ()
    data: Sequence[str] = ()
    to: str | None = None
    beam: int | None = None
    batch_size: int | None = None
    output: Path | None = None
    skip_bad: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision | None = None
    bootstrap: int | None = None
    seed: int | None = None
    paired: Literal["bs", "ar"] = "bs"
    trials: int | None = None
    tokenize: Tokenize = "13a"
    own: Sequence[str] = ()
    tables: bool = False
    examples: int = 10
    report: Path | None = None
    vectors: Path | None = None
    samples: int | None = None

    @property
    def runs(self) -> list[Path]:
        return split_search(self.words)[0]

    @property
    def search(self) -> dict[str, Any]:
        return split_search(self.words)[1]

    @property
    def detailed(self) -> bool:
        return self.tables or self.report is not None

    def sampling(self) -> Sampling:
        default = Sampling()
        return Sampling(
            resamples=default.resamples if self.bootstrap is None else self.bootstrap,
            seed=self.seed,
            test=self.paired,
            trials=default.trials if self.trials is None else self.trials,
        )


def evaluate_verb(wanted: Wanted, console: Console) -> tuple[dict[str, Any], str]:
    """Scores for programs, and the same as text for people.

    Raises:
        UserError: anything of the user's to mend; all but a failing metric of one's own shows before translating.
    """
    _check(wanted)
    if any(is_task(run) for run in wanted.runs):
        return evaluate_tasks(wanted)
    if any(speaks(run) for run in wanted.runs):
        return evaluate_dialogues(wanted)
    if wanted.vectors or wanted.samples:
        raise UserError("--vectors and --samples are of runs of dialogues; leave them out")
    bleu(wanted.tokenize)  # fails now if ever
    own = {word: load_metric(word) for word in wanted.own}
    precision = wanted.precision or "float32"
    translators = [load_translator(run, device=wanted.device, precision=precision) for run in wanted.runs]
    if wanted.to is not None:
        translators = [translator.to(wanted.to) for translator in translators]
    for translator in translators:  # checks the keys
        translator.translate([], beam=wanted.beam, batch_size=wanted.batch_size, search=wanted.search)
    tests = _tests(wanted, translators, console)
    references = [pair.target for pair in tests[0].pairs]
    files = [system_of_file(word, tests[0]) for word in wanted.systems]
    systems = [_answered(*each, wanted) for each in zip(wanted.runs, translators, tests, strict=False)] + files
    systems = _scored(systems, references, own, wanted)
    trained = tests[0].trained if wanted.detailed else []
    evaluation = Evaluation(
        data=tests[0].where,
        references=references,
        systems=systems,
        counts=word_counts(trained or references, tokenize=wanted.tokenize) if wanted.detailed else {},
        counted="the training pairs" if trained else "the references",
        test=_test_name(wanted) if "paired" in systems[-1].scores else "",
        labels=[_label(word) for word in own],
        tokenize=wanted.tokenize,
    )
    if wanted.output is not None:
        _write_lines(wanted.output, systems[0].answers)
    return _told(evaluation, wanted, console)


def _told(evaluation: Evaluation, wanted: Wanted, console: Console) -> tuple[dict[str, Any], str]:
    """What is printed; the report is written on the way."""
    scores = summary(evaluation)
    more = tables(evaluation, examples=wanted.examples) if wanted.detailed else []
    value = _json(evaluation, more, runs=len(wanted.runs))
    if wanted.report is not None:
        write_report(wanted.report, evaluation, [*scores, *more], value, console)
    data, *rest = [f"{name}: {text}" for name, text in facts(evaluation)]
    return value, "\n".join([data, "", as_text([*scores, *(more if wanted.tables else [])]), "", *rest])


def _json(evaluation: Evaluation, more: Sequence[Table], *, runs: int) -> dict[str, Any]:
    """Flat for one system; for several a list, the first of which is compared with."""
    found = [
        {"run" if number < runs else "system": system.name, "data": evaluation.data, **system.scores}
        for number, system in enumerate(evaluation.systems)
    ]
    value = found[0]
    if len(found) > 1:
        value = {"data": evaluation.data, "n": len(evaluation.references), "test": evaluation.test, "systems": found}
    return {**value, "tables": [asdict(table) for table in more]} if more else value


def _check(wanted: Wanted) -> None:
    """What can be refused before anything is loaded."""
    names = [*map(str, wanted.runs), *(word.partition("=")[0] for word in wanted.systems)]
    if not names:
        raise UserError("nothing to evaluate: expected a run directory, or --system NAME=FILE with --data; name one")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(
            f"{twice[0]}: named twice, expected systems with names of their own; leave one out or rename it"
        )
    if not wanted.runs and wanted.search:
        raise UserError(f"search.{next(iter(wanted.search))}: is for runs, but only --system was given; name a run")
    if not wanted.runs and not wanted.data:
        raise UserError("--system without a run: which references? Give the test set with --data")
    if wanted.to is not None and not wanted.data:
        raise UserError(f"--to {wanted.to}: a run's own test set has its first language; give the test set with --data")
    if wanted.output is not None:
        _check_output(wanted.output, len(names))
    if wanted.report is not None:
        _check_report(wanted.report)


def _check_output(output: Path, systems: int) -> None:
    if systems > 1:
        raise UserError(f"--output {output}: is for the answers of one run, got {systems} systems; name one run")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise UserError(f"--output {output}: expected a file in a folder that is there; make the folder first")


def _check_report(report: Path) -> None:
    there = next(place for place in (report.absolute(), *report.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UserError(f"--report {report}: {there} is a file; expected a folder, or a name for a new one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--report {report}: this user may not write to {there}; name another folder")


def _tests(wanted: Wanted, translators: Sequence[Translator], console: Console) -> list[TestSet]:
    """The test of each run, at least one; all with the same references."""
    sections = [translator.config.data for translator in translators]
    runs = list(zip(map(RunFolder, wanted.runs), sections, strict=True))
    if not wanted.data:
        return own_test_sets(runs)
    section = Data()
    if translators:
        languages = {"source_lang": translators[0].source_lang, "target_lang": translators[0].target_lang}
        section = sections[0].model_copy(update=languages)
    test = named_test_set(wanted.data, section, skip_bad=wanted.skip_bad, console=console)
    if runs and wanted.detailed:
        test = replace(test, trained=trained_targets(*runs[0]))
    return [test] * max(1, len(runs))


def _answered(run: Path, translator: Translator, test: TestSet, wanted: Wanted) -> System:
    answers, scores = answer(
        translator, test.pairs, beam=wanted.beam, batch_size=wanted.batch_size, search=wanted.search
    )
    curve, alignments = drawings(RunFolder(run), translator, test.pairs) if wanted.report is not None else ([], [])
    return System(
        str(run),
        [pair.source for pair in test.pairs],
        answers,
        scores,
        curve=curve,
        metric=translator.config.training.metric,
        alignments=alignments,
        notes=[LOWERED] if translator.config.text.lowercase else [],
    )


def _scored(
    systems: Sequence[System], references: Sequence[str], own: Mapping[str, Function], wanted: Wanted
) -> list[System]:
    """The systems with their scores, those that others are compared by first."""
    plain: list[dict[str, Any]] = [{} for _ in systems]
    values: dict[str, list[list[float]]] = {}
    for word, function in own.items():
        found = [apply_metric(word, function, system.answers, references, system.sources) for system in systems]
        lists = [one for one in found if isinstance(one, list)]
        if len(lists) == len(found):
            values[_label(word)] = lists
        elif lists:
            raise UserError(f"--metric {word}: gave one number for some systems and a list for others; mend it")
        else:
            for row, one in zip(plain, found, strict=True):
                row[_label(word)] = one
    rows = compared_scores(
        [system.answers for system in systems],
        references,
        sampling=wanted.sampling(),
        values=values,
        tokenize=wanted.tokenize,
    )
    return [
        replace(system, scores={**row, **more, **system.scores})
        for system, row, more in zip(systems, rows, plain, strict=True)
    ]


def _label(word: str) -> str:
    return word.removeprefix("python:")


def _test_name(wanted: Wanted) -> str:
    sampling = wanted.sampling()
    match sampling.test:
        case "bs":
            return f"paired bootstrap, {sampling.resamples:,} samples"
        case "ar":
            return f"paired approximate randomisation, {sampling.trials:,} trials"
        case _:
            assert_never(sampling.test)


def _write_lines(path: Path, texts: Sequence[str]) -> None:
    try:
        path.write_text("".join(f"{one_line(text)}\n" for text in texts), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"--output {path}: can't be written ({error.strerror}); name another file") from None
