"""Print what an image installs below the project's wheel: pyproject's dependencies and those of the given extras.

They are a layer of their own that is built anew when this list changes, not whenever the code does.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in sys.argv[1:])]
sys.stdout.write("".join(f"{dependency}\n" for group in groups for dependency in group))
