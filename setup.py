"Reads settings.ini, where the facts of the package live, and hands them to setuptools."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
facts = config["DEFAULT"]
lines = lambda key: [o.strip() for o in facts[key].splitlines() if o.strip()]

setup(
    version=facts["version"], license_expression=facts["license"], author=facts["author"], keywords=facts["keywords"].split(),
    packages=find_packages(include=["dualflow", "dualflow.*"]),
    package_data={"dualflow": ["weights/*"]},
    exclude_package_data={"dualflow": ["*.pyi"]},  # Gradio writes one beside a module that makes a component
    install_requires=lines("requirements"),
    extras_require={o: lines(f"{o}_requirements") for o in ("dev", "demo", "notebooks", "docs", "training")},
    entry_points={"console_scripts": lines("console_scripts"), "nbdev": ["dualflow=dualflow._modidx:d"]},
)
