"""blender-gen: look at what a recipe makes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from blender_gen.device import Choice
from semforge import cli
from semforge.errors import InputError

app = cli.application("Make labelled SEM micrographs from a recipe.")


@app.callback()
def _main() -> None:
    """Make labelled SEM micrographs from a recipe."""


@app.command(epilog="Example: blender-gen preview configs/recipes/slurry_coating.yaml --index 0 --out preview.png")
def preview(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("preview.png"),
    index: Annotated[int, typer.Option(help="Which sample of the data set.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the data set.", min=0)] = 0,
    count: Annotated[int, typer.Option(help="How many samples, from --index on, one a row.", min=1, max=64)] = 1,
    device: Annotated[Choice, typer.Option(help="What renders; auto is the best there is.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all.", min=0)] = 0,
) -> None:
    """Render samples and draw each one's micrograph beside its label map."""
    from blender_gen.pipeline import make_sample
    from blender_gen.preview import draw_preview, refuse_bad_target
    from blender_gen.recipe import load_recipe
    from blender_gen.scene import pick

    loaded = load_recipe(recipe)
    refuse_bad_target(out)
    chosen = pick(device, threads)
    samples = [make_sample(loaded, i, seed, chosen) for i in range(index, index + count)]
    draw_preview(samples, loaded.phase_names, out)
    cli.console.print(f"{out}: {count} sample{'s' if count > 1 else ''} of {loaded.name}, seed {seed}", highlight=False)


@app.command(epilog="Example: blender-gen check configs/recipes/ebc.yaml")
def check(recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)]) -> None:
    """Validate a recipe and list its phases, without rendering."""
    from blender_gen.recipe import load_recipe, recipe_hash

    loaded = load_recipe(recipe)
    cli.console.print(f"{recipe}: {loaded.family} recipe {loaded.name!r}, hash {recipe_hash(loaded)[:12]}")
    for number, (name, material) in enumerate(zip(loaded.phase_names, loaded.phase_materials, strict=False)):
        cli.console.print(f"  {number:3d}  {name:24s} {material}", highlight=False)


@app.command(epilog="Example: blender-gen bench configs/recipes/slurry_coating.yaml --size 1024")
def bench(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=32)] = 512,
    count: Annotated[int, typer.Option(help="How many specimens; one more warms up.", min=1)] = 6,
    images: Annotated[int, typer.Option(help="Micrographs of each specimen, by each detector.", min=1, max=64)] = 4,
    device: Annotated[Choice, typer.Option(help="What renders; auto is the best there is.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure where the time of a sample goes: a new specimen, and a further micrograph of it."""
    from blender_gen.bench import report, table, time_recipe
    from blender_gen.recipe import load_recipe
    from blender_gen.scene import pick

    changes = [f"frame.width_px={size}", f"frame.height_px={size}", f"imaging.images_per_specimen={images}"]
    changes += overrides or []
    timing = time_recipe(load_recipe(recipe, changes), count, pick(device, threads))
    if as_json:
        print(json.dumps(report(timing), indent=2))
    else:
        cli.console.print(table(timing))


@app.command(epilog="Example: blender-gen spectra configs/spectra/minerals.yaml variants=50 --out library.h5")
def spectra(
    settings: Annotated[Path, typer.Argument(help="Phases and conditions (YAML).", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the settings.")] = None,
    out: Annotated[Path, typer.Option(help="Library to write (.h5); with --live-s a folder.")] = Path("library.h5"),
    seed: Annotated[int, typer.Option(help="Seed of compositions, conditions and counts.", min=0)] = 0,
    live_s: Annotated[
        float | None, typer.Option(help="Write EMSA files of the counts in this time.", min=0.001)
    ] = None,
) -> None:
    """Simulate X-ray spectra of phases: a library of expected spectra, or single measurements."""
    from blender_gen.edx.library import LibrarySettings, make_library, measured
    from semforge.settings import load_settings
    from semforge.spectra import write_emsa, write_library

    loaded = load_settings(settings, LibrarySettings, overrides or [])
    if live_s is None and out.suffix not in (".h5", ".hdf5"):
        raise InputError(f"--out {out}: expected a file .h5, or --live-s with a folder for single spectra")
    library = make_library(loaded, seed)
    of = f"{len(library.names)} phases, {len(library.conditions)} spectra each, {library.axis.describe()}"
    if live_s is None:
        write_library(out, library)
    else:
        out.mkdir(parents=True, exist_ok=True)
        for name, spectrum in measured(library, live_s, seed):
            write_emsa(out / f"{name}.msa", spectrum)
        of += f", {live_s:g} s"
    cli.console.print(f"{out}: {of}, seed {seed}", highlight=False)


@app.command("export-edx", epilog="Example: blender-gen export-edx data/mineral_section --index 3 --out scene.hspy")
def export_edx(
    dataset: Annotated[Path, typer.Argument(help="Data set, its folder or a shard.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Spectrum image to write (.hspy, .h5), or a folder for particles (.msa).")],
    index: Annotated[int, typer.Option(help="Which sample of the data set.", min=0)] = 0,
) -> None:
    """Write the spectra of a stored sample as files that other programs read: HyperSpy, EMSA/MAS."""
    from blender_gen.edx.export import export
    from blender_gen.sample import SampleFile

    with SampleFile(dataset) as file:
        found = (file.index == index).nonzero()[0]
        if not len(found):
            raise InputError(f"{file.path}: holds no sample {index}; it has {file.index.min()} to {file.index.max()}")
        written = export(file, int(found[0]), out)
    several = f", {len(written)} spectra" if out.is_dir() else ""
    cli.console.print(f"{out}: sample {index} of {dataset}{several}", highlight=False)


def main() -> None:
    """Entry point."""
    cli.run(app, "blender-gen")


if __name__ == "__main__":
    main()
