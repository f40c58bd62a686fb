"""How Tryton's own Python is called: its interpreter, its configuration file and the companion module's place.

Tryton lives in a virtual environment of its own, because the sync knows it over HTTP only. The companion module is
not installed there: a folder on PYTHONPATH with the module's source and an entry point is all that trytond asks for.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.settings import REPOSITORY, OperatorError

COMPANION_MODULE = "psa_erp_reference"
SOURCES = Path(__file__).resolve().parent

_ENTRY_POINT = f"[trytond.modules]\n{COMPANION_MODULE} = {COMPANION_MODULE}\n"
_METADATA = f"Metadata-Version: 2.1\nName: {COMPANION_MODULE.replace('_', '-')}\nVersion: 8.2.0\n"


class TrytonSetupError(OperatorError):
    """Tryton cannot be built or served; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TrytonEnvironment:
    """An interpreter that has trytond, and a folder of its own for configuration and logs."""

    python: Path
    folder: Path

    @classmethod
    def prepare(cls, folder: Path, server: ServerInfo) -> "TrytonEnvironment":
        """Write what trytond needs into `folder`.

        The interpreter is PSA_ERP_TRYTON_PYTHON, else the one in `.venv-tryton`. Raises TrytonSetupError.
        """
        python = Path(os.environ.get("PSA_ERP_TRYTON_PYTHON") or REPOSITORY / ".venv-tryton" / "bin" / "python")
        if not python.exists():
            raise TrytonSetupError(
                f"no Python at {python}: make a virtual environment there and install requirements/tryton.txt, "
                "or name one in PSA_ERP_TRYTON_PYTHON"
            )
        environment = cls(python, folder)
        entry_points = environment._modules / f"{COMPANION_MODULE}-8.2.0.dist-info"
        entry_points.mkdir(parents=True, exist_ok=True)
        (entry_points / "entry_points.txt").write_text(_ENTRY_POINT)
        (entry_points / "METADATA").write_text(_METADATA)
        link = environment._modules / COMPANION_MODULE
        if not link.is_symlink():
            link.symlink_to(SOURCES / COMPANION_MODULE)
        environment._write_config(server)
        return environment

    def variables(self) -> dict[str, str]:
        """The environment variables of a trytond process."""
        return {
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(self._modules),
            "TRYTOND_CONFIG": str(self._config),
            # trytond's report engine warns about its own fonts and libraries.
            "PYTHONWARNINGS": "ignore",
        }

    @property
    def _modules(self) -> Path:
        return self.folder / "modules"

    @property
    def _config(self) -> Path:
        return self.folder / "trytond.conf"

    def _write_config(self, server: ServerInfo) -> None:
        # A queue worker that never runs: without it every posting renders its invoice's PDF inline.
        text = f"[database]\nuri = {server.trytond_uri()}\n\n[queue]\nworker = True\n"
        with os.fdopen(os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
            handle.write(text)
