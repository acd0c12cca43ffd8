"""How the scripts run that show the project from end to end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable

import with_requirements
from console import Console, Failure, shown
from toolchain import Toolchain, inspect_toolchain


def parser(description: str | None) -> argparse.ArgumentParser:
    """Of such a script's arguments, whose help is its description."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def carry_out(
    name: str,
    walk_through: Callable[[Console, Toolchain], None],
    inspect: Callable[[], Toolchain] = inspect_toolchain,
) -> int:
    """Runs the steps, one such script at a time in one build directory, and returns the exit code."""
    # Like Ctrl-C: what was started is stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = None
    try:
        toolchain = inspect()
        work = toolchain.target_directory / name
        with with_requirements.exclusive(work / "lock", f"another {name} in this build directory"):
            console = Console(work)
            console.say(console.bold(f"Encoderfile {toolchain.version}") + f" on {toolchain.host}")
            console.say(f"files  {shown(work)}")
            console.say(f"log    {shown(console.log_path)}")
            console.say()
            walk_through(console, toolchain)
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Failure as failure:
        if console is not None:
            console.show_failed_step()
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0
