"""Runs a program of a comparison in a process of its own. Used by benches/interpret and benches/stt."""

import contextlib
import json
import os
import signal
import subprocess

# Seconds after which a program has failed: several times what the slowest one takes on two cores.
LIMIT = 2 * 3600


def output_of(command, request=None, limit=LIMIT):
    """Runs a program for at most `limit` seconds, with a request as JSON on its standard input if there is one; returns
    what it prints. The error of a program that fails has its output, too."""
    is_requested = request is not None
    # A process group of its own: what the program has started must not run beside the next one.
    with subprocess.Popen(command, stdin=subprocess.PIPE if is_requested else None, stdout=subprocess.PIPE,
                          start_new_session=True) as process:
        try:
            output = process.communicate(json.dumps(request).encode() if is_requested else None, timeout=limit)[0]
        except subprocess.TimeoutExpired as error:
            error.cmd = command[0]
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0 or not output:
        raise subprocess.CalledProcessError(process.returncode, command[0], output)
    return output


def last_line(command, request=None, limit=LIMIT):
    """Like `output_of`; returns the JSON document in the last line."""
    return json.loads(output_of(command, request, limit).splitlines()[-1])
