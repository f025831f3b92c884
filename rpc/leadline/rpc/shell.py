"""POSIX-shell snippets that any device can run: dash, busybox ash, toybox with mksh, bash.

All command lines have the form ``exec sh -c '<script>' <arguments, quoted>``. No script holds a single quote or a
newline, so that fish and tcsh as login shells pass it on unchanged too.
Used by the transports that have only a command string: ssh and adb.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence

import msgspec

from leadline.core.errors import BadInput

# The command leads its own session, so that it can be ended with everything it started that did not leave on purpose.
# Its first line of output, printed before the command starts, tells the host where it is; if nobody takes that line,
# the command never starts. The waiting shell ends what the command leaves behind, also when it is itself hung up, as
# adbd does when the cable is pulled. It lets go of the streams, so that the command alone holds them.
# A background job gets /dev/null as standard input, hence descriptor 3. On a device without setsid (some cameras) only
# the command itself can be ended, not what it has put in the background.
_SUPERVISE = (
    "t=$1; shift; exec 3<&0 </dev/null; "
    'end() { [ -z "$!" ] || kill -9 "-$!" 2>/dev/null || kill -9 "$!" 2>/dev/null; }; '
    'trap "end; exit 129" HUP; trap "end; exit 143" TERM; '
    "if command -v setsid >/dev/null 2>&1; then s=setsid; else s=; fi; "
    '$s sh -c "echo \\"\\$0 \\$PPID \\$\\$\\" || exit 141; exec \\"\\$@\\"" "$t" "$@" <&3 3<&- & '
    "exec 3<&- >/dev/null 2>&1; "
    'wait "$!"; c=$?; end; exit "$c"'
)


class Location(msgspec.Struct, frozen=True):
    """Where a supervised command runs on the device."""

    token: str  # random; on the supervisor's command line for as long as the command runs
    supervisor: int  # pid of the waiting shell
    group: int  # process group of the command; also the pid of its leader


class Supervised(msgspec.Struct, frozen=True):
    """A command line, and what finds the command's place in its output."""

    command: str
    token: str

    def split(self, output: bytes) -> tuple[Location, bytes] | None:
        """The location and the command's own output; None until the first line has come.

        Whatever a login shell's start-up file printed before is dropped.
        """
        found = re.search(re.escape(self.token.encode()) + rb" (\d+) (\d+)\r?\n", output)
        if not found:
            return None
        return Location(self.token, int(found[1]), int(found[2])), output[found.end() :]


def supervise(argv: Sequence[str]) -> Supervised:
    """Run `argv` in its own process group under a waiting shell; exits with its code, 128 + signal if one ended it."""
    if not argv or any("\0" in argument for argument in argv):
        raise BadInput(f"command {list(argv)!r}: empty, or an argument holds a NUL; no device can run it")
    token = f"leadline-{secrets.token_hex(8)}"
    return Supervised(script(_SUPERVISE, token, *argv), token)


def end_groups(locations: Sequence[Location]) -> str:
    """Kill the process groups that are still under their own supervisor; a pid that was used again is left alone."""
    arguments = [str(part) for where in locations for part in (where.token, where.supervisor, where.group)]
    return script(
        "while [ $# -gt 2 ]; do "
        'if grep -q -e "$1" "/proc/$2/cmdline" 2>/dev/null; then '
        'kill -9 "-$3" 2>/dev/null || kill -9 "$3" "$2" 2>/dev/null; fi; shift 3; done; exit 0',
        *arguments,
    )


# `cat` reads only what it is sent; a name beside the target keeps the rename inside one file system.
# Messages in English: the host looks for "No space left".
_RECEIVE = (
    "LC_ALL=C; export LC_ALL; umask 077; case $1 in */*) d=${1%/*}/;; *) d=./;; esac; "
    'mkdir -p "$d" || exit 74; '
    'trap "rm -f \\"\\$2\\"" 0; trap "exit 129" HUP; trap "exit 143" TERM; '
    'cat >"$2" || exit 74; h=$(sha256sum <"$2") || exit 74; '
    'if [ "${h%% *}" != "$3" ]; then echo "${h%% *}"; exit 65; fi; '
    'chmod "$4" "$2" && mv -f "$2" "$1" || exit 74; trap - 0; exit 0'
)
WRITE_FAILED = 74  # EX_IOERR; the reason is on standard error
WRONG_HASH = 65  # EX_DATAERR; the hash found is on standard output


def receive(remote: str, sha256: str, *, executable: bool) -> list[str]:
    """argv: store standard input at `remote` if it has that hash, through a temporary name beside it."""
    temporary = f"{remote.rpartition('/')[0]}/.leadline-{secrets.token_hex(8)}.part"
    return _argv(_RECEIVE, remote, temporary, sha256, "755" if executable else "644")


NOT_FOUND = 66  # EX_NOINPUT


def send(remote: str) -> list[str]:
    """argv: print the hash of `remote` on the first line, then its bytes; exits with `NOT_FOUND` if it is no file."""
    return _argv(
        '[ -f "$1" ] || exit 66; LC_ALL=C; export LC_ALL; h=$(sha256sum <"$1") || exit 74; '
        'echo "${h%% *}"; exec cat <"$1"',
        remote,
    )


def default_directory() -> list[str]:
    """argv: print the first folder that is ours and writable: below the user's cache, else below a temporary folder."""
    return _argv(
        "umask 077; u=$(id -u); "
        'for d in "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/leadline" '
        '"/var/tmp/leadline-$u" "/tmp/leadline-$u"; do '
        'if mkdir -p "$d" 2>/dev/null && [ -O "$d" ] && [ -w "$d" ]; then echo "$d"; exit 0; fi; done; exit 73'
    )


def script(text: str, *arguments: str) -> str:
    """A command line for the login shell that runs `text` in a POSIX shell with these arguments."""
    return "exec " + shlex.join(_argv(text, *arguments))


def _argv(text: str, *arguments: str) -> list[str]:
    return ["sh", "-c", text, "sh", *arguments]
