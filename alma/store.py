"""Where artifacts lie: a folder, or ``s3://bucket/prefix`` (``alma.s3``, the only file that imports boto3)."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote

from alma.errors import AccessError, AlmaError, ConfigError, NoSpaceError, StoreUnavailableError

TEMPORARY = ".alma-tmp-"  # how the name of an unfinished file begins; no object may be named so
SEGMENT_BYTES = 255  # NAME_MAX of the usual file systems
NAME_BYTES = 500  # S3 takes keys of 1,024 bytes, of which the store's prefix may have as many


class Store(Protocol):
    """Objects by name. A name is a relative POSIX path such as ``respond/3f2a…/parts/00003.parquet``.

    Every method may raise ``AccessError``, ``StoreUnavailableError``, ``NoSpaceError`` and (a bucket that is not
    there) ``ConfigError``; a name that is none is a ``ValueError``. A store may be shared by threads.
    """

    uri: str

    def exists(self, name: str) -> bool:
        """Whether the object is there, whole."""

    def read(self, name: str) -> bytes:
        """A small object (a manifest). Raises ``FileNotFoundError``."""

    def write(self, name: str, data: bytes) -> None:
        """Publishes a small object, whole or not at all."""

    def upload(self, path: Path, name: str) -> None:
        """Publishes a file, whole or not at all, without holding it in memory."""

    def download(self, name: str, path: Path) -> str:
        """Fetches an object to ``path`` (temporary name, then rename). Raises ``FileNotFoundError``.

        Returns the SHA-256 of what came, in hex, so that nobody has to read it again to check it.
        """

    def version(self, name: str) -> tuple[str, int]:
        """What tells this content of an object from others under its name, and its size. ``FileNotFoundError``."""

    def list(self, prefix: str) -> dict[str, int]:
        """Whole names below ``prefix`` (a folder-like name; ``""`` is all) and their sizes in bytes, sorted.

        Unfinished uploads do not show, nor do objects of others whose key is no name of ours.
        """

    def remove(self, name: str) -> None:
        """Removes an object, if it is there. For what no manifest states only: nothing sealed is ever removed."""

    def local(self, name: str) -> Path | None:
        """The object's path where the store is a folder of this machine, there or not, else ``None``."""


def open_store(uri: str) -> Store:
    """The store at ``uri``: a path, ``file://`` or ``s3://bucket[/prefix]``; another scheme raises ``ConfigError``."""
    # One slash is enough to be taken for a scheme: "s3:/bucket" is a slip of the pen, not a folder.
    scheme, colon, rest = uri.partition(":/")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        if not uri or "\0" in uri:
            raise ConfigError(f"store {uri!r} is no path; give a folder, file:///folder or s3://bucket/prefix")
        return FolderStore(Path(uri))
    host, _, path = rest.removeprefix("/").partition("/")
    if scheme.lower() not in ("file", "s3") or not rest.startswith("/"):
        raise ConfigError(f"store {hide_login(uri)!r}: accepted are a folder, file:///folder and s3://bucket/prefix")
    if "@" in host or ":" in host:
        raise ConfigError(
            f"store {hide_login(uri)!r}: neither credentials nor an endpoint belong in it; set AWS_PROFILE or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL"
        )
    if scheme.lower() == "s3":
        from alma.s3 import S3Store  # here, so that who has folders only never imports boto3

        return S3Store(host, path.rstrip("/"))
    if host not in ("", "localhost"):
        raise ConfigError(
            f"store {hide_login(uri)!r} names the machine {host!r}; write file:///folder with three slashes"
        )
    return FolderStore(Path("/" + unquote(path)))


def hide_login(uri: str) -> str:
    """``uri`` fit for a message: nothing before an ``@`` (keys hold slashes, so the last one) is shown."""
    return re.sub(r"(:/+).*@", r"\1…@", uri)


def check_name(name: str) -> str:
    """``name`` itself if it is a relative POSIX path that a folder and S3 both hold as it is, else ``ValueError``."""
    segments = name.split("/")
    if (
        any(segment in ("", ".", "..") or segment.startswith(TEMPORARY) for segment in segments)
        or any(character == "\\" or unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or len(name.encode()) > NAME_BYTES
        or any(len(segment.encode()) > SEGMENT_BYTES for segment in segments)
    ):
        raise ValueError(f"{name!r} is no object name: relative, '/' between, no '..', no control characters, not long")
    return name


def is_name(name: str) -> bool:
    """Whether ``check_name`` takes it."""
    try:
        return bool(check_name(name))
    except ValueError:
        return False


@contextmanager
def publish(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears at ``path`` when the block ends, whole and on disk, or not at all.

    A process that is killed leaves ``.alma-tmp-*`` beside it, which no store lists and anybody may delete.
    """
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(TEMPORARY + secrets.token_hex(8))
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        # The rename too has to be on disk before a manifest that counts on it.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # FUSE and SMB mounts cannot; their rename is all
                raise
        finally:
            os.close(folder)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Says in alma's terms what the file system refused at ``path``, or at the file that the error itself names."""
    try:
        yield
    except AlmaError:
        raise
    except OSError as error:
        where, reason = error.filename or path, os.strerror(error.errno or errno.EIO)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessError(f"{where}: {reason}; give uid {os.geteuid()} the right, or use another folder") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(f"{where}: {reason}; free some space there, or use another folder") from error
        if error.errno in (errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN):
            raise StoreUnavailableError(f"{where}: {reason}; the mounted file system does not answer") from error
        raise


def mode(path: Path) -> int:
    """What is at ``path``, for ``stat.S_ISREG``; 0 for nothing. Unlike ``is_file``, it hides no refusal."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


class FolderStore:
    """A folder, made by the first write. It may be a mounted one that several machines share."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.uri = str(self.root)
        with file_errors(self.root):
            if mode(self.root) and not stat.S_ISDIR(mode(self.root)):
                raise ConfigError(f"store {self.uri!r} is a file; give a folder")

    def local(self, name: str) -> Path:
        """The path of an object, or of the folder that holds the objects below ``name``, there or not."""
        return self.root / check_name(name)

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
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
        """Publishes a copy of a file: a link would change with it."""
        with file_errors(path), path.open("rb") as source, publish(self.local(name)) as target:
            shutil.copyfileobj(source, target, 2**20)

    def download(self, name: str, path: Path) -> str:
        """Copies an object to ``path``; its SHA-256. Raises ``FileNotFoundError``."""
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
        """Removes an object, and the folders that are empty then: a folder is no object, as on S3."""
        path = self.local(name)
        with file_errors(path):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            with suppress(OSError):  # somebody else's objects lie there, or have just come
                for folder in path.relative_to(self.root).parents[:-1]:
                    (self.root / folder).rmdir()

    def list(self, prefix: str) -> dict[str, int]:
        """Names below ``prefix`` and their sizes in bytes."""
        top = self.local(prefix) if prefix else self.root
        with file_errors(top):
            return dict(sorted(self._walk(top))) if stat.S_ISDIR(mode(top)) else {}

    def _walk(self, folder: Path) -> Iterator[tuple[str, int]]:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:  # somebody may remove it while we look
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
            return path.open("rb")
        except (IsADirectoryError, NotADirectoryError) as error:  # a folder is no object, as on S3
            raise FileNotFoundError(errno.ENOENT, "no such object", str(path)) from error
