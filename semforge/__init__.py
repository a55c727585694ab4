"""What the three semforge packages share: errors, settings files, whole files on disk, command lines."""

__version__ = "0.1.0"
