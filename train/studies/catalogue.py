"""The named studies: which arms are run on what, and what each is compared with."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from train.data.dataset import Dataset
from train.errors import InputError
from train.settings.cli import did_you_mean, listing
from train.settings.commands import Study
from train.settings.options import Data
from train.studies import domains, plan
from train.studies.arms import (
    Block,
    authors_arm,
    average_decay,
    control_arms,
    lcam_arm,
    margin_arm,
    reversed_arm,
    sgd_arm,
    slower_arm,
)
from train.studies.experiments import kind_of, make_block, make_experiment


class Description(NamedTuple):
    """What a study asks.

    Attributes:
      question: in a sentence.
      seeds: how many by default, in the quick form and in full.
      make: its blocks.
      note: what a reader of its report must know besides.
      interaction: two arms whose difference may depend on the block.
      first_seed: by default.
    """

    question: str
    seeds: tuple[int, int]
    make: Callable[[Study, Callable[[Data], Dataset]], list[Block]]
    note: str = ""
    interaction: tuple[str, ...] = ()
    first_seed: int = 0


def make_blocks(study: Study, load: Callable[[Data], Dataset]) -> list[Block]:
    """The blocks of a study; `load` gives the data, whose size sets the averages.

    Raises:
      InputError: the study has no such arm, or none is left to compare.
    """
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
    return [
        block._replace(
            experiment=dataclasses.replace(
                block.experiment, tensorboard=study.tensorboard
            )
        )
        for block in blocks
    ]


def _only(names: Sequence[str], block: Block) -> Block:
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


_FASTER = "LCAM with an average that follows the loss four times as fast"
_EPOCH_MEAN = "LCAM with the mean of this epoch so far as its average"


def _watched(momentum: float) -> str:
    return f"SGD with momentum {momentum:g}, its phases only recorded"


def _baseline(study: Study, load: Callable[[Data], Dataset]) -> list[Block]:
    experiment = make_experiment(study, "cifar10", load)
    decay = average_decay(experiment, load(experiment.data))
    arms = (
        sgd_arm(),
        sgd_arm("sgd-0.95", 0.95),
        lcam_arm("lcam", decay),
        lcam_arm("lcam-0.93", decay, low_loss_momentum=0.93),
        authors_arm(),
    )
    return [make_block(experiment, kind_of(experiment), arms, "sgd-0.9")]


def _priority(study: Study, load: Callable[[Data], Dataset]) -> list[Block]:
    blocks = []
    for source in ("cifar10", "cifar100"):
        experiment = make_experiment(study, source, load)
        decay = average_decay(experiment, load(experiment.data))
        arms = (
            sgd_arm(),
            sgd_arm("sgd-0.95", 0.95),
            lcam_arm("lcam", decay),
            reversed_arm(decay),
        )
        blocks.append(make_block(experiment, kind_of(experiment), arms, "sgd-0.9"))
        if study.quick or study.data is not None:
            break
    return blocks


def _ablation(study: Study, load: Callable[[Data], Dataset]) -> list[Block]:
    experiment = make_experiment(study, "cifar10", load)
    decay = average_decay(experiment, load(experiment.data))
    arms = (
        lcam_arm("lcam", decay),
        sgd_arm(),
        sgd_arm("sgd-0.95", 0.95),
        *control_arms(),
        reversed_arm(decay),
        lcam_arm("lagged", decay, "LCAM, one step late", lagged=True),
        lcam_arm("epoch-mean", None, _EPOCH_MEAN, loss_average="epoch"),
        authors_arm(),
        # With few steps an epoch, four times as fast would be no average at all.
        lcam_arm("ema-faster", round(max(1 - 4 * (1 - decay), decay / 2), 4), _FASTER),
        slower_arm(decay),
        margin_arm(0.02, decay),
        margin_arm(0.1, decay),
    )
    return [make_block(experiment, kind_of(experiment), arms, "lcam")]


def _noise(study: Study, load: Callable[[Data], Dataset]) -> list[Block]:
    blocks = []
    experiment = make_experiment(study, "cifar10", load)
    for batch_size in (32, 64, 128, 256):
        sized = dataclasses.replace(
            experiment, batch_size=batch_size, observe="held_out"
        )
        # In proportion to the batch: 0.1 for that of the other studies.
        rate = 0.1 * batch_size / experiment.batch_size
        decay = average_decay(sized, load(sized.data))
        arms = (
            sgd_arm(learning_rate=rate),
            lcam_arm("lcam", decay, learning_rate=rate),
            margin_arm(0.05, decay, learning_rate=rate),
            slower_arm(decay, learning_rate=rate),
        )
        blocks.append(make_block(sized, f"batch-{batch_size}", arms, "sgd-0.9"))
    return blocks


def _mechanism(study: Study, load: Callable[[Data], Dataset]) -> list[Block]:
    experiment = dataclasses.replace(
        make_experiment(study, "cifar10", load), observe="mechanism"
    )
    decay = average_decay(experiment, load(experiment.data))
    arms = (
        lcam_arm("lcam", decay),
        # Equal coefficients: SGD, whose phases are watched by the same average.
        lcam_arm("sgd-0.9", decay, _watched(0.9), low_loss_momentum=0.9),
        lcam_arm("sgd-0.95", decay, _watched(0.95), high_loss_momentum=0.95),
        reversed_arm(decay),
        *(arm for arm in control_arms() if arm.name == "chance"),
    )
    return [make_block(experiment, kind_of(experiment), arms, "lcam")]


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
        domains.make_domains,
        note="SGD at 0.9 and LCAM each have their own learning rate, chosen with the "
        "study `rates`. The other arms have LCAM's rate.",
    ),
    "rates": Description(
        "At which learning rate do SGD and LCAM have the lowest error, on examples "
        "kept from training?",
        (4, 4),
        domains.make_rates,
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
        plan.make_5k,
    ),
    "plan-dose": Description(
        "Does a run's own loss add anything to another run's, with coefficients far "
        "apart, in both orders, at once and one step late?",
        (48, 48),
        plan.make_dose,
    ),
    "plan-epochs": Description(
        "How many epochs does LCAM save?",
        (24, 24),
        plan.make_epochs,
    ),
    "plan-pairs": Description(
        "Does the better order of the coefficients depend on the number of classes, "
        "on the same images?",
        (16, 16),
        plan.make_pairs,
        interaction=("lcam", "lcam-reversed"),
    ),
}


def describe() -> str:
    """The studies and their questions, as text."""
    return "\n".join(
        textwrap.fill(
            f"{name}: {study.question} ({_seeds_text(*study.seeds)})",
            80,
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        for name, study in STUDIES.items()
    )


def _seeds_text(quick: int, full: int) -> str:
    if quick == full:
        return f"{full} seeds; see results/PLAN.md"
    return f"{quick} seeds with --quick, {full} in full"
