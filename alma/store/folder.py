"""A store in a folder of this machine, or of a mounted file system."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from alma.errors import ConfigError
from alma.regular import check_regular, expand
from alma.store.files import file_errors, mode, publish
from alma.store.names import check_name, is_name


class FolderStore:
    """A folder, created by the first write. It may lie on a mounted file system that several machines use.

    Raises ``ConfigError`` where no folder can be.
    """

    def __init__(self, root: Path) -> None:
        self.root = expand(root, ConfigError).absolute()
        self.uri = str(self.root)
        if problem := _problem(self.root):
            raise ConfigError(f"store {self.uri!r} {problem}; give a folder, or a path where one can be made")

    def local(self, name: str) -> Path:
        """The path of an object, or of the folder with the objects below ``name``, whether it exists or not."""
        return self.root / check_name(name)

    def exists(self, name: str) -> bool:
        """Whether the object exists."""
        path = self.local(name)
        with file_errors(path):
            return stat.S_ISREG(mode(path))

    def read(self, name: str) -> bytes:
        """A small object. Raises ``FileNotFoundError``."""
        with file_errors(self.local(name)), self._open(name) as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Publishes a small object."""
        with publish(self.local(name)) as target:
            target.write(data)

    def upload(self, path: Path, name: str) -> None:
        """Publishes a copy of a file: a hard link would change with the file."""
        with file_errors(path), path.open("rb") as source, publish(self.local(name)) as target:
            shutil.copyfileobj(source, target, 2**20)

    def download(self, name: str, path: Path) -> str:
        """Copies an object to ``path`` and returns its SHA-256. Raises ``FileNotFoundError``."""
        digest = hashlib.sha256()
        with file_errors(path), self._open(name) as source, publish(path) as target:
            while block := source.read(2**20):
                target.write(block)
                digest.update(block)
        return digest.hexdigest()

    def version(self, name: str) -> tuple[str, int]:
        """Time of the last change, in nanoseconds, and bytes."""
        with file_errors(self.local(name)), self._open(name) as file:
            state = os.fstat(file.fileno())
        return str(state.st_mtime_ns), state.st_size

    def remove(self, name: str) -> None:
        """Removes an object, and the folders that are then empty: as on S3, a folder is not an object."""
        path = self.local(name)
        with file_errors(path):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            with suppress(OSError):  # other objects lie there
                for folder in path.relative_to(self.root).parents[:-1]:
                    (self.root / folder).rmdir()

    def list(self, prefix: str) -> dict[str, int]:
        """Names below ``prefix`` and their sizes in bytes."""
        top = self.local(prefix) if prefix else self.root
        with file_errors(top):
            return dict(sorted(self._walk(top))) if stat.S_ISDIR(mode(top)) else {}

    def _walk(self, folder: Path) -> Iterator[tuple[str, int]]:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:  # the folder may be removed meanwhile
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(Path(entry))
                elif is_name(name := Path(entry).relative_to(self.root).as_posix()) and entry.is_file():
                    try:
                        size = entry.stat().st_size
                    except FileNotFoundError:
                        continue
                    yield name, size

    def _open(self, name: str) -> BinaryIO:
        path = self.local(name)
        try:
            check_regular(path)
            return path.open("rb")
        except (IsADirectoryError, NotADirectoryError) as error:  # as on S3, a folder is not an object
            raise FileNotFoundError(errno.ENOENT, "no such object", str(path)) from error


def _problem(root: Path) -> str | None:
    """Why there neither is a folder nor can be one; ``None`` if nothing is wrong so far."""
    for path in (root, *root.parents):
        try:
            found = path.stat().st_mode
        except FileNotFoundError:
            if path.is_symlink():
                return f"is, or lies below, the link {str(path)!r}, which leads nowhere ({path.readlink()})"
            continue
        except NotADirectoryError:
            continue  # said of the file above it
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
                return f"is no path ({os.strerror(error.errno)})"
            with file_errors(path):
                raise
        if not stat.S_ISDIR(found):
            return "is a file" if path == root else f"lies below {str(path)!r}, which is a file"
        return None
    return None
