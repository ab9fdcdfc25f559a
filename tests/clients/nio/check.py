"""Steps, and waiting for what they expect."""

import asyncio
import os
import time
import traceback

WAIT = float(os.environ.get("CLIENTS_WAIT_MS", "30000")) / 1000

passed = 0
failed = []


async def step(name, action):
    """Runs one step of the story and says how it went; a failure does not stop the story."""
    global passed
    started = time.monotonic()
    try:
        await action()
    except Exception as error:  # whatever went wrong is reported
        failed.append(name)
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAIL {name} ({took(started)} ms)\n       {error!r}\n       {place.filename}:{place.lineno}", flush=True)
    else:
        passed += 1
        print(f"ok   {name} ({took(started)} ms)", flush=True)


def took(started):
    """Milliseconds since `started`."""
    return round((time.monotonic() - started) * 1000)


def summary():
    """Prints the totals; true when nothing failed."""
    print(f"\n{passed} ok, {len(failed)} failed")
    for name in failed:
        print(f"  FAIL {name}")
    return not failed


async def until(what, look):
    """The first truthy value of `look`, which syncs; `what` names it in the failure."""
    end = time.monotonic() + WAIT
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {WAIT} s: {what}")


def good(answer, kind):
    """`answer`, which must be of `kind`."""
    if not isinstance(answer, kind):
        raise AssertionError(f"expected {kind.__name__}, got {answer}")
    return answer


def same(what, actual, expected):
    """Fails with `what` unless the two are the same."""
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


async def run(command):
    """Runs a shell command."""
    process = await asyncio.create_subprocess_shell(command)
    if await process.wait() != 0:
        raise AssertionError("the command of the story's server failed")
