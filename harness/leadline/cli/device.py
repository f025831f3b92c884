"""``leadline device``: the devices of the lab."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline.cli.app import App
from leadline.core.errors import BadInput, LeadlineError
from leadline.core.text import printable
from leadline.core.units import format_bytes, format_cpu_list
from leadline.records.device import Cache, Cluster, DeviceEntry, Profile

_PROBED_AT_ONCE = 8


@click.group()
def device() -> None:
    """Enrol, list, probe and remove the devices of the lab.

    A name that starts with a dash goes behind `--`: leadline device show -- -odd-name
    """


@device.command()
@click.argument("uri")
@click.option("--name", help="What to call it. [default: made from its model]")
@click.option("--tag", "tags", multiple=True, help="A word to select several devices by; may be repeated.")
@click.option("--directory", help="Work folder on the device, absolute. [default: the transport's own]")
@click.pass_obj
def add(app: App, uri: str, name: str | None, tags: tuple[str, ...], directory: str | None) -> None:
    """Probe the device at URI and enrol it.

    URI is local: · ssh://user@host:port · adb:SERIAL · adb://server:port/SERIAL. A unit that is enrolled already,
    known by its serial, takes the new URI instead of a second entry.
    """
    from leadline.device.enrol import enrol

    app.home.make()
    done = enrol(app.lab(), uri, name=name, tags=tags, directory=directory, host_cache=app.home.cache, progress=_say)
    with app.store() as store:
        store.save_profile(done.profile)
    if done.change == "updated" and done.before is not None:
        _say(f"serial {done.entry.serial} was enrolled already; its entry now says {_described(done.entry)}")
    elif done.change == "unchanged":
        _say(f"serial {done.entry.serial} was enrolled already, with this URI")
    else:
        _say(f"added {_described(done.entry)}")
    _print_profile(done.entry, done.profile)


@device.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_(app: App, as_json: bool) -> None:
    """List the enrolled devices."""
    lab = app.lab()
    if as_json:
        _print_json(lab.devices)
        return
    if not lab.devices:
        _say("no devices yet; find some with: leadline device scan")
    _print_table(("name", "uri", "serial", "tags"), [(d.name, d.uri, d.serial, " ".join(d.tags)) for d in lab.devices])


@device.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def show(app: App, name: str, as_json: bool) -> None:
    """Show what the last probe found on a device."""
    entry = app.lab().device(name)
    with app.store() as store:
        profile = store.latest_profile(entry.serial)
    if as_json:
        _print_json({"entry": entry, "profile": profile})
    elif profile is None:
        raise BadInput(f"{name}: never probed; try: leadline device probe -- {shlex.quote(name)}")
    else:
        _print_profile(entry, profile)


@device.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Probe every device of the lab.")
@click.pass_obj
def probe(app: App, names: tuple[str, ...], everything: bool) -> None:
    """Probe devices again, by name or tag, and keep what is found."""
    if bool(names) == everything:
        raise click.UsageError("give either names of devices or --all")
    app.home.make()
    lab = app.lab()
    entries = lab.devices if everything else lab.select(names)
    with ThreadPoolExecutor(max_workers=_PROBED_AT_ONCE) as pool:
        results = list(pool.map(lambda entry: _probe(app, entry), entries))
    failed: LeadlineError | None = None
    with app.store() as store:
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, LeadlineError):
                _say(str(result))
                failed = failed or result
            else:
                store.save_profile(result)
                _print_profile(entry, result)
    if failed is not None:
        sys.exit(failed.exit_code)


@device.command()
@click.argument("name")
@click.pass_obj
def remove(app: App, name: str) -> None:
    """Take a device out of the lab. What was measured on it stays in the store."""
    app.lab().remove(name)
    _say(f"removed {name!r}; its measurements stay in the store")


@device.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option("--ssh", "contact_ssh", is_flag=True, help="Also log in to the hosts of ~/.ssh/config.")
@click.pass_obj
def scan(app: App, as_json: bool, contact_ssh: bool) -> None:
    """Find devices that could be enrolled: this machine, adb, the hosts of ~/.ssh/config."""
    from leadline.device.scan import scan as find

    found, problems = find(app.lab(), ssh_config=Path("~/.ssh/config").expanduser(), contact_ssh=contact_ssh)
    for problem in problems:
        _say(problem)
    if as_json:
        _print_json([{**msgspec.structs.asdict(item), "add": item.add_command} for item in found])
        return
    _print_table(
        ("uri", "state", "", "to enrol it"),
        [
            (
                item.uri,
                item.state,
                item.note or "",
                f"is {item.enrolled_as!r}" if item.enrolled_as else item.add_command,
            )
            for item in found
        ],
    )


def _probe(app: App, entry: DeviceEntry) -> Profile | LeadlineError:
    from leadline.device.lease import lease
    from leadline.device.link import open_link
    from leadline.device.probe import probe as probe_device

    try:
        with (
            lease(app.home.leases, entry.serial, purpose="leadline device probe"),
            open_link(entry, host_cache=app.home.cache, progress=_say) as link,
        ):
            return probe_device(link.transport, link.agent, serial=entry.serial)
    except LeadlineError as error:
        return error


def _print_profile(entry: DeviceEntry, profile: Profile) -> None:
    rows = [
        ("device", _described(entry)),
        ("serial", profile.serial),
        ("model", profile.model),
        ("soc", profile.soc),
        ("os", f"{profile.os}, kernel {profile.kernel or '?'}, {profile.libc or 'libc unknown'}, {profile.abi}"),
        *((f"cluster {cluster.name}", _cluster(cluster)) for cluster in profile.clusters),
        ("offline CPUs", format_cpu_list(profile.offline_cpus)),
        ("caches", ", ".join(dict.fromkeys(map(_cache, profile.caches)))),
        ("memory", format_bytes(profile.memory_bytes) if profile.memory_bytes else None),
        ("sensors", ", ".join(sensor.name for sensor in (*profile.thermal, *profile.power))),
        ("root", "yes" if profile.root else "no"),
        ("python", profile.python),
        ("emulated", f"{profile.emulated}: latencies mean nothing" if profile.emulated else None),
        ("probed", f"{profile.taken_at:%Y-%m-%d %H:%M} UTC"),
    ]
    _print_table((), [(key, value) for key, value in rows if value])


def _cluster(cluster: Cluster) -> str:
    cpus = f"CPU {format_cpu_list(cluster.cpus)}"
    top = f"up to {cluster.max_khz / 1e6:.2f} GHz" if cluster.max_khz else None
    capacity = f"capacity {cluster.capacity}" if cluster.capacity else None
    return ", ".join(filter(None, (cpus, cluster.core, top, capacity, cluster.governor)))


def _cache(cache: Cache) -> str:
    kind = {"data": "d", "instruction": "i"}.get(cache.kind, "")
    shared = f" for {len(cache.cpus)} CPUs" if len(cache.cpus) > 1 else ""
    return f"L{cache.level}{kind} {format_bytes(cache.size_bytes)}{shared}"


def _described(entry: DeviceEntry) -> str:
    return f"{entry.name} at {entry.uri}" + (f" [{' '.join(entry.tags)}]" if entry.tags else "")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """To standard output; a row stays one line where no terminal breaks it, so that scripts can cut it."""
    if not rows:
        return
    table = Table(*header, box=None, pad_edge=False, show_header=bool(header))
    for row in rows:
        table.add_row(*(Text(printable(cell, 1000)) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=4000)
    console.print(table, highlight=False)


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _say(text: str) -> None:
    click.echo(printable(text, 2000), err=True)
