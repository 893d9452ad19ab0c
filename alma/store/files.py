"""Files of this machine: published whole or not at all; errors of the file system as alma's own."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from alma.errors import AccessError, AlmaError, ConfigError, NoSpaceError, StoreUnavailableError
from alma.store.names import TEMPORARY

NO_RENAME = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV)


@contextmanager
def publish(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears at ``path`` when the block ends, whole and on disk, or not at all.

    A process that is killed leaves ``.alma-tmp-*`` beside it, which no store lists and which may be deleted. Raises
    ``ConfigError`` where no regular file can be, and as ``file_errors`` does.
    """
    with file_errors(path):
        if mode(path) and not stat.S_ISREG(mode(path)):  # a device would be replaced by the file, by who may do that
            raise ConfigError(f"{path}: is a folder, a device or a pipe; remove it, or name another file to be written")
        temporary = path.with_name(TEMPORARY + secrets.token_hex(8))
        try:
            with _created(temporary) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        # The rename too has to be on disk before a manifest that relies on it is written.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # FUSE and SMB mounts cannot sync a folder
                raise
        finally:
            os.close(folder)


def _created(path: Path) -> BinaryIO:
    """A new file, in a folder that another process may be removing because it is empty."""
    for _ in range(10):
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raises alma's errors for what the file system refused at ``path``, or at the file that the error itself names."""
    try:
        yield
    except AlmaError:
        raise
    except OSError as error:
        where, reason = error.filename or path, os.strerror(error.errno or errno.EIO)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessError(f"{where}: {reason}; give uid {os.geteuid()} access, or use another folder") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename2 or where  # of a copy: the one that was written
            raise NoSpaceError(f"{where}: {reason}; free some space there, or use another folder") from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise ConfigError(f"{where}: {reason}; give a folder, and files below it that are none") from error
        if error.errno in (errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN):
            raise StoreUnavailableError(f"{where}: {reason}; the mounted file system does not answer") from error
        if error.errno in NO_RENAME:
            raise ConfigError(
                f"{path}: {reason}; the file system there cannot rename files, as some buckets that are mounted: use a "
                "folder of another one, or the bucket itself (s3://…)"
            ) from error
        if error.errno is not None:
            error.filename = error.filename or str(path)  # of an open file the system says no name
        raise


def copy_folder(source: Path, target: Path, leave: Collection[str] = ()) -> None:
    """Copies what lies below folder ``source``, but files of names in ``leave``, into ``target``.

    Raises the ``OSError`` of the first file that cannot be: ``shutil.copytree`` makes one of all of them, whose number
    is lost, and so that the disk is full.
    """
    for folder, _, files in os.walk(source, followlinks=True):
        there = target / Path(folder).relative_to(source)
        there.mkdir(parents=True, exist_ok=True)
        for name in files:
            if name not in leave:
                shutil.copy2(Path(folder, name), there / name)


def mode(path: Path) -> int:
    """The mode of ``path``, for ``stat.S_ISREG``; 0 for nothing. Unlike ``is_file``, it hides no refusal."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
