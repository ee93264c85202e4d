"""`strata info --cpu` and `--forms`: CPU models, and the instruction forms that are implemented, by extension."""
from typing import Any


def cpu_list() -> dict[str, Any]:
    """Every model: vendor, brand, and how many of its extensions are offered and how many not."""
    from emu.isa import cpu, models
    found = {}
    for name, model in models.MODELS.items():
        parsed = cpu.parse(name)
        found[name] = {"vendor": model.vendor, "brand": model.brand, "family": model.family, "model": model.model,
                       "stepping": model.stepping, "physical_bits": model.physical, "offered": len(parsed.offered),
                       "lacking": len(parsed.wanted - parsed.offered)}
    return found


def cpu_one(text: str) -> dict[str, Any]:
    """One model, with changes as `--cpu` takes them. ValueError: there is none such."""
    from emu.isa import cpu, extensions
    parsed = cpu.parse(text)
    return {**cpu_list()[parsed.model.name], "name": text, "offered": sorted(parsed.offered),
            "lacking": sorted(parsed.wanted - parsed.offered),
            "can_be_added": sorted(extensions.supported(extensions.OFFERABLE) - parsed.offered)}


def forms() -> dict[str, Any]:
    """Counts of iced-x86's Codes: implemented, absent, not_yet; in all and by extension; and why what is absent is."""
    from emu.isa import coverage
    from emu.isa.absent import REASONS
    names = {coverage.Status.IMPLEMENTED: "implemented", coverage.Status.ABSENT: "absent",
             coverage.Status.NOT_YET: "not_yet"}
    extensions = {extension: {names[status]: count for status, count in counts.items()}
                  for extension, counts in coverage.by_extension().items()}
    total = {name: sum(counts[name] for counts in extensions.values()) for name in names.values()}
    return {"total": total, "extensions": extensions,
            "absent_because": {reason: list(features) for reason, features in REASONS.items()}}


def show_cpu(data: dict[str, Any]) -> None:
    """Print what `cpu_list` or `cpu_one` gave."""
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    if "name" not in data:
        for column in ("model", "vendor", "brand"):
            table.add_column(column, no_wrap=True)
        for column in ("offered", "lacking"):
            table.add_column(column, justify="right")
        for name, model in data.items():
            table.add_row(name, model["vendor"], model["brand"], str(model["offered"]), str(model["lacking"]))
    else:
        table.add_column(data["name"], no_wrap=True)
        table.add_column(f"{data['vendor']}, family {data['family']}, model {data['model']}, stepping "
                         f"{data['stepping']}, {data['physical_bits']}-bit physical addresses", overflow="fold")
        for label, key in (("offered", "offered"), ("not implemented", "lacking"), ("can be added", "can_be_added")):
            table.add_row(label, " ".join(data[key]) or "nothing")
    Console(highlight=False).print(table)


def show_forms(data: dict[str, Any]) -> None:
    """Print what `forms` gave."""
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("extension", no_wrap=True)
    for column in ("implemented", "absent", "not yet"):
        table.add_column(column, justify="right")
    for name, counts in (*data["extensions"].items(), ("in all", data["total"])):
        table.add_row(name, *(str(count) if count else "" for count in counts.values()))
    Console(highlight=False).print(table)
    reasons = Table(box=None, header_style="dim", pad_edge=False)
    reasons.add_column("absent on purpose", no_wrap=True, max_width=52)
    reasons.add_column("", overflow="fold")
    for reason, features in data["absent_because"].items():
        reasons.add_row(reason, " ".join(features))
    Console(highlight=False).print(reasons)
