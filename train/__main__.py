"""The command line: `python -m train run` and `python -m train compare`."""

import os
import sys

import tyro

from train.config import Compare, Run
from train.errors import DivergedError, InputError

COMMANDS = {"run": Run, "compare": Compare}


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code.

    2 is for bad input, 1 for training that diverged, 130 for an interruption,
    141 for output that nobody reads any more.
    """
    try:
        config = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="python -m train",
            description="Trains Wide ResNets with SGD, LCAM and AdamW.",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
        _execute(config)
    except InputError as error:
        return _fail(f"error: {error}", 2)
    except BrokenPipeError:  # as in `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(f"error: cannot read or write: {error}", 2)
    except DivergedError as error:
        return _fail(f"error: {error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _execute(config: Run | Compare) -> None:
    # Imported late: `--help` and bad options need no JAX.
    from train import compare, loop
    from train.data import load_dataset

    is_comparison = isinstance(config, Compare)
    arms = compare.parse_arms(config.arms) if is_comparison else {}
    dataset = load_dataset(config.data.data, config.data.data_dir)
    if is_comparison:
        compare.compare(config, arms, dataset)
        return
    folder = loop.run(config, dataset)
    from train.plot import plot_run

    print(f"picture: {plot_run(folder)}")


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
