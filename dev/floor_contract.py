"""Contracts for import-linter: what a floor of the house imports, and what it shows."""

import sys
from typing import cast, override

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FloorContract(Contract):
    """A floor imports the standard library, itself and what is named; no more.

    It may be several packages, which then may import each other.

    import-linter's own contracts name what is forbidden, which cannot say
    "nothing but the standard library".
    """

    floor = fields.ListField(subfield=fields.StringField())
    may_import = fields.ListField(subfield=fields.StringField())

    @override
    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect the imports of the floor's modules that are not allowed."""
        # import-linter puts the values in the fields' places.
        floor = cast("list[str]", self.floor)
        allowed = [*floor, *cast("list[str]", self.may_import)]
        broken = [
            f"{importer} -> {imported}"
            for importer in sorted(graph.modules)
            if any(_is_within(importer, package) for package in floor)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if imported.split(".")[0] not in sys.stdlib_module_names
            and not any(_is_within(imported, package) for package in allowed)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    @override
    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print an offending import a line."""
        for line in check.metadata["broken"]:
            output.print_error(line)


class FaceContract(Contract):
    """Of a floor, the other modules of its package import its face alone.

    The face is the floor's `__init__`: what it offers may be named from above.
    """

    floor = fields.StringField()
    package = fields.StringField()

    @override
    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect the imports that go past the face."""
        floor, package = cast("str", self.floor), cast("str", self.package)
        broken = [
            f"{importer} -> {imported}"
            for importer in sorted(graph.modules)
            if _is_within(importer, package) and not _is_within(importer, floor)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if imported != floor and _is_within(imported, floor)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    @override
    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print an offending import a line."""
        for line in check.metadata["broken"]:
            output.print_error(line)


def _is_within(module: str, package: str) -> bool:
    """Tell whether a module is the package or lies below it."""
    return module == package or module.startswith(f"{package}.")
