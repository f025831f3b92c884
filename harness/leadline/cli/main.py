"""The command ``leadline``: its groups, loaded when used, and what happens to errors."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from leadline.cli.app import App
from leadline.core.errors import LeadlineError
from leadline.core.home import Home

# command → (module, its click command); loaded on use, so that `leadline --help` answers at once
COMMANDS = {
    "bundle": ("leadline.cli.bundle", "Export, verify, import and show measurement bundles."),
    "device": ("leadline.cli.device", "Enrol, list, probe and remove the devices of the lab."),
    "doctor": ("leadline.cli.doctor", "Say what is missing on this machine, and the command that mends it."),
    "measure": ("leadline.cli.measure", "Measure models on devices."),
    "model": ("leadline.cli.model", "Sample networks of a space, look into .tflite files."),
    "quickstart": ("leadline.cli.quickstart", "Measure eight networks on this machine and export a bundle."),
    "results": ("leadline.cli.results", "Show what has been measured."),
    "roofline": ("leadline.cli.roofline", "Measure rooflines, and see networks under them."),
}


class LazyGroup(click.Group):
    """Imports a command's module when it is called, not when the program starts."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of lab.toml, store and caches. [env: LEADLINE_HOME]",
)
@click.option("--store", "store_url", help="SQLAlchemy URL of the store. [env: LEADLINE_STORE]")
@click.version_option(package_name="leadline")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, store_url: str | None) -> None:
    """Measure how fast neural networks really run on phones, Raspberry Pis and cameras."""
    ctx.obj = App(Home(home.absolute()) if home else Home.default(), store_url)


def main() -> None:
    """Entry point: errors of ours become one message and their exit code; Ctrl-C is 130."""
    try:
        sys.exit(cli(standalone_mode=False))
    except LeadlineError as error:
        click.echo(f"leadline: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("leadline: interrupted", err=True)
        sys.exit(130)
