"""The named studies: which arms are run on what, and what each is compared with."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from train.errors import InputError
from train.settings.cli import did_you_mean, listing
from train.settings.commands import Study
from train.settings.experiment import Experiment
from train.studies.arms import (
    Arm,
    Block,
    authors_arm,
    average_decay,
    control_arms,
    dose_arm,
    dose_study_arms,
    lcam_arm,
    margin_arm,
    reversed_arm,
    sgd_arm,
    signal_arms,
    slower_arm,
    twin_arms,
)
from train.studies.experiments import (
    RATES,
    Load,
    domain_experiments,
    make_experiment,
    reach_of,
    small_experiment,
)


class Description(NamedTuple):
    """What a study asks.

    Attributes:
      question: in a sentence.
      seeds: how many by default, in the quick form and in full.
      make: its blocks.
      note: what a reader of its report must know besides.
      first_seed: by default.
    """

    question: str
    seeds: tuple[int, int]
    make: Callable[[Study, Load], list[Block]]
    note: str = ""
    first_seed: int = 0


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
    options = {"tensorboard": study.tensorboard}
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
        lines.append(f"{name}: {study.question} ({seeds})")
    return "\n".join(lines)


# --- Their blocks ---------------------------------------------------------------------


def _block(
    experiment: Experiment,
    load: Load,
    make_arms: Callable[[float], Sequence[Arm]],
    reference: str,
    name: str = "",
) -> Block:
    """A block; `make_arms` gets the decay of the average of the loss."""
    return Block(
        name or experiment.data.data.partition(":")[0],
        experiment,
        tuple(make_arms(average_decay(experiment, load(experiment.data)))),
        reference,
        reach_of(experiment),
    )


def _baseline(study: Study, load: Load) -> list[Block]:
    def arms(decay: float) -> Sequence[Arm]:
        return (
            sgd_arm(),
            sgd_arm("sgd-0.95", 0.95),
            lcam_arm("lcam", decay),
            lcam_arm("lcam-0.93", decay, low_loss_momentum=0.93),
            authors_arm(),
        )

    return [_block(make_experiment(study, "cifar10", load), load, arms, "sgd-0.9")]


def _priority(study: Study, load: Load) -> list[Block]:
    def arms(decay: float) -> Sequence[Arm]:
        sgd = sgd_arm(), sgd_arm("sgd-0.95", 0.95)
        return (*sgd, lcam_arm("lcam", decay), reversed_arm(decay))

    sources = ("cifar10", "cifar100")
    if study.quick or study.data is not None:
        sources = sources[:1]
    return [
        _block(make_experiment(study, source, load), load, arms, "sgd-0.9")
        for source in sources
    ]


def _ablation(study: Study, load: Load) -> list[Block]:
    faster = "LCAM with an average that follows the loss four times as fast"
    epoch_mean = "LCAM with the mean of this epoch so far as its average"

    def arms(decay: float) -> Sequence[Arm]:
        # With few steps an epoch, four times as fast would be no average at all.
        quick = round(max(1 - 4 * (1 - decay), decay / 2), 4)
        return (
            lcam_arm("lcam", decay),
            sgd_arm(),
            sgd_arm("sgd-0.95", 0.95),
            *control_arms(),
            reversed_arm(decay),
            lcam_arm("lagged", decay, "LCAM, one step late", lagged=True),
            lcam_arm("epoch-mean", None, epoch_mean, loss_average="epoch"),
            authors_arm(),
            lcam_arm("ema-faster", quick, faster),
            slower_arm(decay),
            margin_arm(0.02, decay),
            margin_arm(0.1, decay),
        )

    return [_block(make_experiment(study, "cifar10", load), load, arms, "lcam")]


def _noise(study: Study, load: Load) -> list[Block]:
    experiment = make_experiment(study, "cifar10", load)
    blocks = []
    for size in (32, 64, 128, 256):
        # In proportion to the batch: 0.1 for that of the other studies.
        rate = {"learning_rate": 0.1 * size / experiment.batch_size}

        def arms(decay: float, rate: dict[str, float] = rate) -> Sequence[Arm]:
            sgd, lcam = sgd_arm(**rate), lcam_arm("lcam", decay, **rate)
            return sgd, lcam, margin_arm(0.05, decay, **rate), slower_arm(decay, **rate)

        sized = dataclasses.replace(experiment, batch_size=size, observe="held_out")
        blocks.append(_block(sized, load, arms, "sgd-0.9", f"batch-{size}"))
    return blocks


def _mechanism(study: Study, load: Load) -> list[Block]:
    watched = "SGD with momentum {:g}, its phases only recorded"

    def arms(decay: float) -> Sequence[Arm]:
        [chance] = [arm for arm in control_arms() if arm.name == "chance"]
        # Equal coefficients: SGD, whose phases are watched by the same average.
        low, high = {"low_loss_momentum": 0.9}, {"high_loss_momentum": 0.95}
        return (
            lcam_arm("lcam", decay),
            lcam_arm("sgd-0.9", decay, watched.format(0.9), **low),
            lcam_arm("sgd-0.95", decay, watched.format(0.95), **high),
            reversed_arm(decay),
            chance,
        )

    experiment = make_experiment(study, "cifar10", load)
    experiment = dataclasses.replace(experiment, observe="mechanism")
    return [_block(experiment, load, arms, "lcam")]


def _domains(study: Study, load: Load) -> list[Block]:
    """LCAM and its controls, with other networks, each at its own learning rate."""
    blocks = []
    for source, experiment in domain_experiments(study).items():
        own = RATES[source].sgd
        rate = {"learning_rate": RATES[source].lcam}  # also of what copies LCAM

        def arms(decay: float, own=own, rate=rate) -> Sequence[Arm]:
            sgd = sgd_arm(learning_rate=own), sgd_arm("sgd-0.95", 0.95, **rate)
            return (lcam_arm("lcam", decay, **rate), *sgd, *control_arms(**rate))

        blocks.append(_block(experiment, load, arms, "lcam")._replace(reach=()))
    return blocks


def _rates(study: Study, load: Load) -> list[Block]:
    """SGD and LCAM at several rates, tested on training examples kept from training."""
    experiments = domain_experiments(study) | {"5k": small_experiment(study)}
    blocks = []
    for name, experiment in experiments.items():
        rates = RATES[name]
        kept = {"test_rest": False, "validation": rates.validation}
        data = dataclasses.replace(experiment.data, **kept)
        experiment = dataclasses.replace(experiment, data=data)

        def arms(decay: float, tried=rates.tried) -> Sequence[Arm]:
            return [
                arm
                for rate in tried
                for arm in (
                    sgd_arm(f"sgd-0.9-rate-{rate:g}", learning_rate=rate),
                    lcam_arm(f"lcam-rate-{rate:g}", decay, learning_rate=rate),
                )
            ]

        reference = f"sgd-0.9-rate-{rates.tried[1]:g}"
        block = _block(experiment, load, arms, reference, name)
        blocks.append(block._replace(reach=()))
    return blocks


def _plan_5k(study: Study, load: Load) -> list[Block]:
    def arms(decay: float) -> Sequence[Arm]:
        controls = {arm.name: arm for arm in control_arms()}
        return (
            lcam_arm("lcam", decay),
            controls["borrowed"],  # the two primary ones come first
            controls["matched-step"],
            controls["mean-momentum"],
            *twin_arms(decay),
            sgd_arm(),
            dose_arm(),
            lcam_arm(
                "lcam-rate-0.05", decay, "LCAM at half the rate", learning_rate=0.05
            ),
            lcam_arm(
                "lcam-rate-0.2", decay, "LCAM at twice the rate", learning_rate=0.2
            ),
            sgd_arm("sgd-0.9-rate-0.2", learning_rate=0.2),
            sgd_arm("sgd-0.95", 0.95),
            reversed_arm(decay),
            *signal_arms(decay),
        )

    return [_small_block(study, load, arms, "lcam")]


def _plan_dose(study: Study, load: Load) -> list[Block]:
    """The setting of `plan-5k`, with coefficients far apart."""

    def arms(decay: float) -> Sequence[Arm]:
        return (*dose_study_arms(decay), sgd_arm(), dose_arm())

    return [_small_block(study, load, arms, "lcam")]


def _plan_epochs(study: Study, load: Load) -> list[Block]:
    """The setting of `plan-5k`, trained for all, three quarters and half as long."""
    longest = small_experiment(study).epochs

    def arms(decay: float) -> Sequence[Arm]:
        return [
            arm._replace(
                name=f"{arm.name}-{epochs}",
                about=f"{arm.about}; {epochs} epochs",
                epochs=epochs,
            )
            for epochs in (max(longest * quarters // 4, 1) for quarters in (4, 3, 2))
            for arm in (lcam_arm("lcam", decay), sgd_arm())
        ]

    return [_small_block(study, load, arms, f"lcam-{longest}")]


def _small_block(
    study: Study,
    load: Load,
    arms: Callable[[float], Sequence[Arm]],
    reference: str,
) -> Block:
    block = _block(small_experiment(study), load, arms, reference, "5k")
    return block._replace(reach=())


STUDIES = {
    "baseline": Description(
        "Does LCAM reach a lower test error than SGD, and sooner?", (8, 5), _baseline
    ),
    "priority": Description(
        "Which phase should get the higher coefficient, and does it depend on the "
        "data?",
        (8, 5),
        _priority,
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
        "study `rates`. The other arms have LCAM's rate.",
    ),
    "rates": Description(
        "At which learning rate do SGD and LCAM have the lowest error, on examples "
        "kept from training?",
        (4, 4),
        _rates,
        note="All errors are of the last training examples, which were kept from "
        "training. The test set was not used.",
        first_seed=2000,
    ),
    "ablation": Description(
        "What about LCAM matters: the loss, the mean momentum, the step, the "
        "switching, the average?",
        (6, 5),
        _ablation,
    ),
    "mechanism": Description(
        "Do gradients, updates and their directions differ between the phases, and "
        "which phase moves which parameters?",
        (5, 3),
        _mechanism,
    ),
    "plan-5k": Description(
        "Does a run's own loss add anything to another run's, and is LCAM better than "
        "SGD of its effective step, on a tenth of CIFAR-10?",
        (16, 16),
        _plan_5k,
    ),
    "plan-dose": Description(
        "Does a run's own loss add anything to another run's, with coefficients far "
        "apart, in both orders, at once and one step late?",
        (48, 48),
        _plan_dose,
    ),
    "plan-epochs": Description(
        "How many epochs does LCAM save?", (24, 24), _plan_epochs
    ),
}
