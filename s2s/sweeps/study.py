"""The study: Optuna's database of trials, who works on which, and what becomes of trials whose worker went away."""

from __future__ import annotations

import socket
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from s2s.errors import MissingExtraError, UserError
from s2s.sweeps.goal import Goal
from s2s.sweeps.spec import Choices, Entry, Floats, Ints

if TYPE_CHECKING:
    import optuna

BEAT = 30
"""Seconds between two signs of life of a trial in the database."""
GRACE = 150
"""Seconds without one after which a trial is taken for dead."""
_IDENTITY, _WHY, _OF, _FIRST, _PLACE = "s2s", "why", "of", "first", "place"


class Study:
    """A study in a database, with the trials that this program runs.

    Args:
        goal: what is searched for.
        folder: of this program.
        url: the database; empty: SQLite in the folder.
        name: of the study in it.

    Raises:
        UserError: no such database, or the study there has another search space.
        MissingExtraError: Optuna is not installed.
    """

    def __init__(self, goal: Goal, folder: Path, *, url: str = "", name: str = "") -> None:
        self.goal = goal
        self.place = f"{socket.gethostname()}:{folder.resolve()}"
        self._shared = bool(url)
        self._optuna = _import_optuna()
        self._storage, self._study = self._open(url or _sqlite(folder / "study.db"), name or goal.name)
        self._check_identity()
        self._take_over()

    def ask(self) -> optuna.Trial | None:
        """A new trial (or one to be done again), or None where there are enough."""
        states = self._optuna.trial.TrialState
        self._again()
        trials = self._study.get_trials(deepcopy=False)
        counted = [
            trial
            for trial in trials
            if trial.state in (states.COMPLETE, states.PRUNED, states.RUNNING)
            or (trial.state == states.FAIL and _WHY in trial.user_attrs)
        ]
        if len(counted) >= self.goal.trials:
            return None
        worker = self.place if self._shared else ""
        seed = zlib.crc32(f"{self.goal.seed} {len(trials)} {worker}".encode())
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        trial = self._study.ask()
        trial.set_user_attr(_PLACE, self.place)
        self.beat(trial)
        return trial

    def values(self, trial: optuna.Trial) -> dict[str, Any]:
        """What the trial has drawn, by dotted key."""
        return {key: _suggest(trial, key, entry) for key, entry in self.goal.space.items()}

    def complete(self, trial: optuna.Trial, value: float) -> None:
        self._study.tell(trial, value)

    def prune(self, trial: optuna.Trial, why: str) -> None:
        trial.set_user_attr(_WHY, why)
        self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, why: str) -> None:
        """A trial that went wrong, which is not done again."""
        trial.set_user_attr(_WHY, why)
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def put_back(self, trial: optuna.Trial) -> None:
        """A trial that was stopped: whoever comes next does it again, or goes on with it."""
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        self._again()

    def beat(self, trial: optuna.Trial) -> None:
        """A sign of life."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        self._storage.record_heartbeat(self._storage.get_trial_id_from_study_id_trial_number(study, trial.number))

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All of the study, those aside that were put back."""
        states = self._optuna.trial.TrialState
        return [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state != states.WAITING and (trial.state != states.FAIL or _WHY in trial.user_attrs)
        ]

    @property
    def begun(self) -> bool:
        """Whether the database has any trial of it."""
        return bool(self._study.get_trials(deepcopy=False))

    def importances(self) -> dict[str, float]:
        """How much each key decides (they add up to 1); empty where too few trials are complete."""
        done = [trial for trial in self.trials() if trial.state == self._optuna.trial.TrialState.COMPLETE]
        if len(done) < 4 or len(self.goal.space) < 2:
            return {}
        try:
            evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
            return dict(self._optuna.importance.get_param_importances(self._study, evaluator=evaluator))
        except (RuntimeError, ValueError):  # all values alike
            return {}

    def _open(self, url: str, name: str) -> tuple[Any, optuna.Study]:
        import sqlalchemy

        shown = url
        try:
            shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
            arguments = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
            storage = self._optuna.storages.RDBStorage(
                url, engine_kwargs=arguments, heartbeat_interval=BEAT, grace_period=GRACE
            )
            study = self._optuna.create_study(
                storage=storage,
                study_name=name,
                direction=self.goal.direction,
                load_if_exists=True,
                pruner=self._pruner(),
            )
        except (
            sqlalchemy.exc.SQLAlchemyError,
            self._optuna.exceptions.OptunaError,
            ImportError,
            RuntimeError,
        ) as error:
            why = str(error.__cause__ or error).splitlines()[0]
            raise UserError(
                f"{shown}: no database for a study ({why}); expected a URL such as"
                " postgresql://user:password@host/name, with its driver installed"
            ) from None
        return storage, study

    def _pruner(self) -> Any:
        pruner = self.goal.pruner
        match pruner.kind:
            case "median":
                return self._optuna.pruners.MedianPruner(n_startup_trials=pruner.startup, n_warmup_steps=pruner.warmup)
            case "none":
                return self._optuna.pruners.NopPruner()
            case _:
                assert_never(pruner.kind)

    def _check_identity(self) -> None:
        now = self.goal.identity()
        before = self._study.user_attrs.get(_IDENTITY)
        if before is None and not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr(_IDENTITY, now)
            return
        differing = _differences(before or {}, now)
        if before is None or differing:
            shown = "; ".join(differing[:5]) if differing else "it was not made by `s2s tune`"
            raise UserError(
                f"study {self._study.study_name!r}: the database holds it with another search space: {shown}. Give the"
                " same file, or another name (--study) or folder (-o)"
            )

    def _take_over(self) -> None:
        """No other program works in this folder, so what runs there in the database was left by one that was killed."""
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if trial.user_attrs.get(_PLACE) == self.place:
                self._study.tell(trial.number, state=states.FAIL)

    def _again(self) -> None:
        """Queue trials that were put back, or whose worker gives no sign of life, once each."""
        self._optuna.storages.fail_stale_trials(self._study)
        trials = self._study.get_trials(deepcopy=False)
        done_again = {trial.user_attrs.get(_OF) for trial in trials}
        for trial in trials:
            lost = trial.state == self._optuna.trial.TrialState.FAIL and _WHY not in trial.user_attrs
            if lost and trial.number not in done_again:
                self._study.enqueue_trial(trial.params, user_attrs={_OF: trial.number, _FIRST: first_number(trial)})


def first_number(trial: optuna.Trial | optuna.trial.FrozenTrial) -> int:
    """Of a trial that is done again, the number that it had at first; it names the run, which goes on."""
    return int(trial.user_attrs.get(_FIRST, trial.number))


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "tune", "s2s tune") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage")  # `Study.beat` gives the signs of life
    return optuna


def _sqlite(path: Path) -> str:
    import sqlalchemy

    return sqlalchemy.URL.create("sqlite", database=str(path.resolve())).render_as_string()


def _suggest(trial: optuna.Trial, key: str, entry: Entry) -> Any:
    match entry:
        case Floats():
            return trial.suggest_float(key, entry.low, entry.high, step=entry.step, log=entry.log)
        case Ints():
            return trial.suggest_int(key, entry.low, entry.high, step=entry.step or 1, log=entry.log)
        case Choices():
            return trial.suggest_categorical(key, entry.choices)
        case _:
            assert_never(entry)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys of the space that came or went, and keys with another value; keys that a newer version has do not count."""
    missing = object()
    differing = [
        f"{key} was {before.get(key, 'not there')!r} and is {now.get(key, 'not there')!r}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key, missing) != now.get(key, missing) and (key in before or key.startswith("space."))
    ]
    return sorted(differing, key=lambda text: not text.startswith("space."))
