"""Turns the files of a revision into manifests that know their place. Parsing happens in a child process, since what a repository
holds may be hostile, and YAML holds the interpreter for as long as it takes.
"""

# Nothing is brought in here: the child imports this package, too, and is to stay small.
__all__: list[str] = []
