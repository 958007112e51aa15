"""Tasks of general use: shell commands, files, templates, SQLite, HTTP, notifications, secrets, Kubernetes Jobs.

    from headwater.tasks.shell import ShellTask

Each is given its arguments where it is made, where it is called, or both; those of the call count.
Importing a module of this package loads nothing that its tasks need only when they run.
"""
