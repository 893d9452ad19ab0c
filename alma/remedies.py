"""What an error of the operating system, or of a library, means to a person, and what is to be done."""

from __future__ import annotations

import errno
import os

from alma.errors import AccessError, AlmaError, DataError, NoSpaceError, Stopped, TransientError, UserError


class Terminated(BaseException):
    """SIGTERM came to a command that does not listen for it. Not an ``Exception``: no retry may swallow it."""


REMEDIES: dict[int, tuple[type[UserError], str]] = {
    errno.ENOENT: (DataError, "name one that is there"),
    errno.ENOTDIR: (DataError, "a part of this path is a file; name a folder"),
    errno.EISDIR: (DataError, "it is a folder; name a file"),
    errno.EEXIST: (DataError, "name one that is not there yet"),
    errno.ENOTEMPTY: (DataError, "name an empty folder"),
    errno.ENAMETOOLONG: (DataError, "the file system takes no name of this length; give a shorter one"),
    errno.ELOOP: (DataError, "its symbolic links lead back to themselves"),
    errno.EINVAL: (DataError, "the file system does not take this name; give another one"),
    errno.EILSEQ: (DataError, "the file system does not take this name; give another one"),
    errno.ENXIO: (DataError, "it is no regular file; name one"),
    errno.ENODEV: (DataError, "it is no regular file; name one"),
    errno.EBADF: (DataError, "it was closed, or opened to be read; give it a file or a terminal"),
    errno.ESPIPE: (DataError, "it is no regular file; name one"),
    errno.ENOSYS: (DataError, "the file system cannot do that; name a place on another one"),
    errno.EOPNOTSUPP: (DataError, "the file system cannot do that; name a place on another one"),
    errno.EXDEV: (DataError, "the file system cannot do that; name a place on another one"),
    errno.EIO: (DataError, "the disk or the network behind it does not answer; look at the machine's log"),
    errno.EACCES: (AccessError, "this user may not; change its owner or mode (chown, chmod)"),
    errno.EPERM: (AccessError, "this user may not; change its owner or mode (chown, chmod)"),
    errno.EROFS: (AccessError, "the file system can only be read; name another folder"),
    errno.ETXTBSY: (AccessError, "another process runs it; wait for that, or name another file"),
    errno.ENOSPC: (NoSpaceError, "make room, or name a place on another disk"),
    errno.EDQUOT: (NoSpaceError, "make room, or ask for a larger quota"),
    errno.EFBIG: (NoSpaceError, "files may not be that large here; raise the limit: ulimit -f unlimited"),
    errno.ENOMEM: (NoSpaceError, "free memory, or raise the limit: ulimit -v unlimited"),
    errno.EMFILE: (NoSpaceError, "this process may not open more files; raise the limit: ulimit -n 4096"),
    errno.ENFILE: (NoSpaceError, "this machine may not open more files; raise fs.file-max"),
    errno.EAGAIN: (NoSpaceError, "no more processes or threads; raise the limit: ulimit -u"),
}
"""What an error of the operating system means to a person, and what is to be done."""

_OF_ANY_CALL = (errno.ENOSYS, errno.EOPNOTSUPP)
"""What a system says of what it cannot do, be it with a file or not."""

_LIMITS = (
    *(
        (number, os.strerror(number))
        for number in (errno.EMFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    ),
    (errno.ENOMEM, "failed to map segment from shared object"),  # the loader's words
    (errno.ENOMEM, "DefaultCPUAllocator"),  # PyTorch's
    (errno.EAGAIN, "can't start new thread"),  # Python's
)
"""What libraries say, in errors of their own, of a limit that was reached."""


def as_ours(error: BaseException) -> AlmaError | None:
    """What an error that is none of alma's says of the world outside; ``None`` where it says that alma is at fault."""
    if isinstance(error, KeyboardInterrupt | Terminated):
        return Stopped("stopped as asked; run the same command again to resume")
    if isinstance(error, MemoryError):
        return NoSpaceError("memory is full; free some, raise the limit (ulimit -v unlimited), or give less at once")
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        around = str(error.object)[max(0, error.start - 20) : error.end + 20]
        return DataError(f"{around!r} holds half a character (a lone surrogate); save the text as UTF-8")
    if isinstance(error, ConnectionError | TimeoutError):
        return TransientError(f"{error or type(error).__name__}; try again")
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from"):  # pathlib's, for ELOOP
        return DataError(f"{str(error)[18:]}: {REMEDIES[errno.ELOOP][1]}")
    limit = next((number for number, words in _LIMITS if words in str(error)), None)
    if limit is not None:  # a library that cannot load another one, or start a thread
        return NoSpaceError(f"{error}: {REMEDIES[limit][1]}")
    return None


def _of_the_system(error: OSError) -> AlmaError | None:
    places = [each for each in (error.filename, error.filename2) if each is not None]
    if error.errno == errno.ENOENT and not places:
        return DataError("the working directory is not there any more; change into one that is")
    if error.errno not in REMEDIES or (error.errno in _OF_ANY_CALL and not places):
        return None
    kind, remedy = REMEDIES[error.errno]
    if not places and (kind is NoSpaceError or error.errno == errno.EBADF):
        places = ["standard output, or a file that was being written"]
    where = " → ".join(os.fsdecode(each) if isinstance(each, str | bytes) else str(each) for each in places)
    return kind(f"{where + ': ' if where else ''}{error.strerror}: {remedy}")
