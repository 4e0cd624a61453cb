"""Files that other programs lay beside photos: none is a photo, though some are named like one."""

COMPANIONS = "companion files of other programs (._*, .DS_Store, Thumbs.db, __MACOSX, @eaDir, ...)"

# All in lower case: Windows and macOS do not tell a name's case.
FOLDERS = frozenset(
    (
        # macOS
        "__macosx", ".appledouble", ".appledb", ".appledesktop", ".documentrevisions-v100",
        ".fseventsd", ".spotlight-v100", ".temporaryitems", ".trashes",
        # Windows
        "$recycle.bin", "system volume information",
        # network storage: thumbnails and bins
        "@eadir", "@tmp", "#recycle", "@recycle", ".@__thumb",
        # Linux desktops, editors and version control
        ".thumbnails", ".ipynb_checkpoints", ".git", ".svn",
    )
)  # fmt: skip
FILES = frozenset(
    (
        ".ds_store", ".apdisk", ".localized", ".volumeicon.icns", "icon\r",
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini",
        ".directory", ".nomedia", "picasa.ini", ".picasa.ini",
    )
)  # fmt: skip
# What macOS keeps of a file on a volume that has no room for it in the file; what NFS and FUSE keep
# of a file that was deleted while somebody had it open.
BEGINNINGS = ("._", ".nfs0", ".fuse_hidden")
BIN_OF_A_USER = "/.trash-"  # and the user's number


def is_companion(path: str) -> bool:
    """Whether a file is one of these, or lies in a folder of these.

    Args:
        path: relative to the source, so that where the source itself lies does not matter.
    """
    path = "/" + path.lower().replace("\\", "/")  # zip files made on Windows may have either
    *folders, name = path.split("/")
    return (
        name in FILES
        or name.startswith(BEGINNINGS)
        or BIN_OF_A_USER in path
        or not FOLDERS.isdisjoint(folders)
    )


def is_companion_folder(path: str) -> bool:
    """Whether all that lies in a folder are companion files."""
    return is_companion(f"{path}/any")
