"""Turns the files of a revision into manifests that know their file and line. Parsing happens in a child process, since what
a repository holds may be hostile, and YAML holds the interpreter for as long as it takes.
"""
