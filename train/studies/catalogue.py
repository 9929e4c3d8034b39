"""The named studies: which arms are run on what, and what each is compared with."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from train.data import sources
from train.data.dataset import Dataset
from train.errors import InputError
from train.paths import filled
from train.settings.cli import did_you_mean, listing
from train.settings.commands import Study
from train.settings.experiment import Experiment
from train.settings.options import Data
from train.studies.arms import (
    CONTROLS,
    Arm,
    Block,
    average_decay,
    far_apart_arms,
    make_arm,
    make_arms,
)
from train.studies.experiments import (
    RATES,
    Load,
    Rates,
    domain_experiments,
    make_experiment,
    reach_of,
    small_experiment,
)

Make = Callable[[Study, Load], list[Block]]


class Description(NamedTuple):
    """What a study asks, and of what."""

    question: str
    seeds: tuple[int, int]  # by default, in the quick form and in full
    make: Make
    note: str = ""  # what a reader of its report must know besides
    first_seed: int = 0


def loader(study: Study) -> Load:
    """What has loaded the data of a study, after all that its blocks refuse."""

    @cache
    def load(data: Data) -> Dataset:
        try:
            return sources.load_dataset(data)
        except InputError as error:
            if study.data:
                raise
            small, full = STUDIES[study.name].seeds
            digits = "--quick, on handwritten digits, or " * (small != full)
            raise InputError(
                f"{error} Without a download: {digits}--data npz:PATH, on your images."
            ) from None

    make_blocks(study, load)
    return load


def make_blocks(study: Study, load: Load) -> list[Block]:
    """The blocks of a study; `load` gives the data, whose size sets the averages."""
    blocks = STUDIES[study.name].make(study, load)
    if study.arms is not None:
        blocks = [_only(study.arms, block) for block in blocks]
    seeds = set(seeds_of(study))
    has_pairs = bool(seeds & {seed ^ 1 for seed in seeds})
    if "borrowed" in (study.arms or ()) and not has_pairs:
        raise InputError(
            "--arms borrowed replays the phases of another seed, in pairs: give "
            "--seeds 0 1, or 2 3, and so on."
        )
    names = ("checkpoint_minutes", "tensorboard", "threads", "deterministic", "devices")
    options = {name: getattr(study, name) for name in names}
    return [
        block._replace(experiment=dataclasses.replace(block.experiment, **options))
        for block in blocks
    ]


def _only(names: Sequence[str], block: Block) -> Block:
    """The block with these arms, its reference, and their donors."""
    known = [arm.name for arm in block.arms]
    unknown = [name for name in names if name not in known]
    if unknown:
        [first, *_] = unknown
        raise InputError(
            f"--arms {first}: there is no such arm.{did_you_mean(first, known)} The "
            f"arms of the study are {listing(known, 'and')}."
        )
    if not set(names) - {block.reference}:
        others = [name for name in known if name != block.reference]
        raise InputError(
            f"--arms must name another arm than the reference {block.reference}, which "
            f"always runs: {listing(others)}."
        )
    wanted = {block.reference, *names}
    wanted |= {arm.donor for arm in block.arms if arm.name in wanted and arm.matched}
    return block._replace(arms=tuple(arm for arm in block.arms if arm.name in wanted))


def seeds_of(study: Study) -> Sequence[int]:
    """The seeds asked for, or the study's own."""
    description = STUDIES[study.name]
    number = description.seeds[0 if study.quick else 1]
    first = description.first_seed
    return study.seeds or range(first, first + number)


def list_studies() -> str:
    """The studies and their questions, as text."""
    lines = []
    for name, study in STUDIES.items():
        quick, full = study.seeds
        seeds = f"{quick} seeds with --quick, {full} in full"
        if quick == full:
            seeds = f"{full} seeds; see results/PLAN.md"
        lines.append(filled(f"{name}: {study.question} ({seeds})", indent="  "))
    return "\n".join(lines)


# --- Their blocks ---------------------------------------------------------------------

MakeArms = Callable[[float], Sequence[Arm]]  # of the decay of the average of the loss


def _named(names: str, **options) -> MakeArms:
    return lambda decay: make_arms(names, decay, **options)


def _block(
    experiment: Experiment,
    load: Load,
    arms: MakeArms,
    reference: str,
    name: str,
    reach: tuple[float, ...] = (),
) -> Block:
    decay = average_decay(experiment, load(experiment.data))
    return Block(name, experiment, tuple(arms(decay)), reference, reach)


def _of_authors(
    arms: MakeArms, reference: str, sources: tuple[str, ...] = ("cifar10",), **changes
) -> Make:
    """Makes blocks in the authors' setting, one for each of their data sets."""

    def make(study: Study, load: Load) -> list[Block]:
        is_one = study.quick or study.data is not None
        blocks = []
        for source in sources[:1] if is_one else sources:
            experiment = make_experiment(study, source, load)
            experiment = dataclasses.replace(experiment, **changes)
            name = experiment.data.data.partition(":")[0]
            reach = reach_of(experiment)
            blocks.append(_block(experiment, load, arms, reference, name, reach))
        return blocks

    return make


def _noise(study: Study, load: Load) -> list[Block]:
    experiment = make_experiment(study, "cifar10", load)
    blocks = []
    for size in (32, 64, 128, 256):
        # In proportion to the batch: 0.1 for that of the other studies.
        rate = 0.1 * size / experiment.batch_size
        arms = _named("sgd-0.9 lcam margin-0.05 ema-slower", learning_rate=rate)
        sized = dataclasses.replace(experiment, batch_size=size, observe="held_out")
        reach = reach_of(sized)
        blocks.append(_block(sized, load, arms, "sgd-0.9", f"batch-{size}", reach))
    return blocks


def _watched_arms(decay: float) -> Sequence[Arm]:
    """LCAM beside SGD, whose phases are watched by the same average."""
    lcam, *others = make_arms("lcam lcam-reversed chance", decay)
    sgd = [  # its coefficients are equal
        make_arm(
            f"sgd-{momentum}",
            decay,
            f"SGD with momentum {momentum}, its phases only recorded",
            high_loss_momentum=momentum,
            low_loss_momentum=momentum,
        )
        for momentum in (0.9, 0.95)
    ]
    return [lcam, *sgd, *others]


def _domains(study: Study, load: Load) -> list[Block]:
    """LCAM and its controls, with other networks, each at its own learning rate."""
    blocks = []
    for name, experiment in domain_experiments(study).items():

        def arms(decay: float, rates: Rates = RATES[name]) -> Sequence[Arm]:
            # What copies LCAM copies its learning rate.
            others = f"lcam sgd-0.95 {CONTROLS}"
            lcam, *rest = make_arms(others, decay, learning_rate=rates.lcam)
            return [lcam, *make_arms("sgd-0.9", decay, learning_rate=rates.sgd), *rest]

        blocks.append(_block(experiment, load, arms, "lcam", name))
    return blocks


def _rates(study: Study, load: Load) -> list[Block]:
    """SGD and LCAM at several rates, tested on training examples kept from training."""
    experiments = domain_experiments(study) | {"5k": small_experiment(study)}
    blocks = []
    for name, experiment in experiments.items():
        tried = RATES[name].tried
        kept = {"test_rest": False, "validation": RATES[name].validation}
        data = dataclasses.replace(experiment.data, **kept)

        def arms(decay: float, tried: Sequence[float] = tried) -> Sequence[Arm]:
            return [
                arm._replace(name=f"{arm.name}-rate-{rate:g}")
                for rate in tried
                for arm in make_arms("sgd-0.9 lcam", decay, learning_rate=rate)
            ]

        experiment = dataclasses.replace(experiment, data=data)
        reference = f"sgd-0.9-rate-{tried[1]:g}"
        blocks.append(_block(experiment, load, arms, reference, name))
    return blocks


def _of_plan(arms: MakeArms) -> Make:
    """Makes the block of a study of results/PLAN.md: a tenth of CIFAR-10."""

    def make(study: Study, load: Load) -> list[Block]:
        return [_block(small_experiment(study), load, arms, "lcam", "5k")]

    return make


def _plan_epochs(study: Study, load: Load) -> list[Block]:
    """The setting of `plan-5k`, trained for all, three quarters and half as long."""
    experiment = small_experiment(study)

    def arms(decay: float) -> Sequence[Arm]:
        lengths = [max(experiment.epochs * part // 4, 1) for part in (4, 3, 2)]
        return [
            arm._replace(
                name=f"{arm.name}-{epochs}",
                about=f"{arm.about}; {epochs} epochs",
                epochs=epochs,
            )
            for epochs in lengths
            for arm in make_arms("lcam sgd-0.9", decay)
        ]

    return [_block(experiment, load, arms, f"lcam-{experiment.epochs}", "5k")]


STUDIES = {
    "baseline": Description(
        "Does LCAM reach a lower test error than SGD, and sooner?",
        (8, 5),
        _of_authors(_named("sgd-0.9 sgd-0.95 lcam lcam-0.93 lcam-authors"), "sgd-0.9"),
    ),
    "priority": Description(
        "Which phase should get the higher coefficient, and does it depend on the "
        "data?",
        (8, 5),
        _of_authors(
            _named("sgd-0.9 sgd-0.95 lcam lcam-reversed"),
            "sgd-0.9",
            ("cifar10", "cifar100"),
        ),
    ),
    "noise": Description(
        "How often does a batch's loss give the phase wrongly, by the size of the "
        "batch, and what does it do to the error?",
        (3, 5),
        _noise,
    ),
    "domains": Description(
        "Does LCAM do anything on tables, numbers and text, with other networks?",
        (6, 20),
        _domains,
        note="SGD at 0.9 and LCAM each have their own learning rate, chosen with the "
        "study `rates`. The other arms have LCAM's rate, and `matched-step` a higher "
        "one.",
    ),
    "rates": Description(
        "At which learning rate do SGD and LCAM have the lowest error, on examples "
        "kept from training?",
        (4, 4),
        _rates,
        note="All errors are of examples that were kept from training. The test set "
        "was not used.",
        first_seed=2000,
    ),
    "ablation": Description(
        "What about LCAM matters: the loss, the mean momentum, the step, the "
        "switching, the average?",
        (6, 5),
        _of_authors(
            _named(
                f"lcam sgd-0.9 sgd-0.95 {CONTROLS} lcam-reversed lagged epoch-mean "
                "lcam-authors ema-faster ema-slower margin-0.02 margin-0.1"
            ),
            "lcam",
        ),
    ),
    "mechanism": Description(
        "Do gradients, updates and their directions differ between the phases, and "
        "which phase moves which parameters?",
        (5, 3),
        _of_authors(_watched_arms, "lcam", observe="mechanism"),
    ),
    "plan-5k": Description(
        "Does a run's own loss add anything to another run's, and is LCAM better than "
        "SGD of its effective step, on a tenth of CIFAR-10?",
        (16, 16),
        _of_plan(
            _named(
                "lcam borrowed matched-step mean-momentum twin-donor twin sgd-0.9 dose "
                "lcam-rate-0.05 lcam-rate-0.2 sgd-0.9-rate-0.2 sgd-0.95 lcam-reversed "
                "oracle oracle-reversed example-baseline"
            )
        ),
    ),
    "plan-dose": Description(
        "Does a run's own loss add anything to another run's, with coefficients far "
        "apart, in both orders, at once and one step late?",
        (48, 48),
        _of_plan(
            lambda decay: far_apart_arms(decay) + make_arms("sgd-0.9 dose", decay)
        ),
    ),
    "plan-epochs": Description(
        "How many epochs does LCAM save?", (24, 24), _plan_epochs
    ),
}
