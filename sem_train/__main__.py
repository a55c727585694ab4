"""`sem-train`: train on synthetic and real micrographs, predict, compare, evaluate, measure."""

import os

from sem_train.commands.analyse import analyse
from sem_train.commands.bench import bench
from sem_train.commands.classify import classify
from sem_train.commands.classify_predict import predict as classify_predict
from sem_train.commands.compare import compare
from sem_train.commands.evaluate import evaluate
from sem_train.commands.fit import fit
from sem_train.commands.gap import gap
from sem_train.commands.map import group as map_group
from sem_train.commands.measure import measure
from sem_train.commands.predict import predict
from sem_train.commands.report import report
from semforge.cli import application, run

app = application("Train segmentation models on synthetic and real micrographs, and measure what they see.")
app.command(epilog="Example: sem-train fit configs/train/slurry_unet.yaml training.steps=200 out=runs/try")(fit)
app.command(epilog="Example: sem-train predict runs/slurry_unet micrographs/*.tif --out predictions")(predict)
app.command(epilog="Example: sem-train compare configs/experiments/ebc.yaml real_images=[1,all] seeds=[0,1,2]")(compare)
app.command(epilog="Example: sem-train evaluate runs/slurry_unet --data data/slurry --report report.html")(evaluate)
app.command(epilog="Example: sem-train analyse micrographs --model runs/slurry_unet --out results")(analyse)
app.command(epilog="Example: sem-train measure predictions/*_labels.png --pixel-size-um 0.12 --out table.csv")(measure)
app.command(epilog="Example: sem-train report results --out specimen.html")(report)
app.command(epilog="Example: sem-train gap nasa_ebc data/ebc --scale 0.5 --explain --pictures gap.png")(gap)
app.command(epilog="Example: sem-train bench --model unet --model segformer --settings default,channels_last,bf16,all")(
    bench
)
classify.command(
    name="predict", epilog="Example: sem-train classify predict runs/dust fields/*.tif --threshold bright --out results"
)(classify_predict)
app.add_typer(classify, name="classify")
app.add_typer(map_group, name="map")


def main() -> None:
    """Entry point of `sem-train`."""
    # Read when PyTorch is loaded: its waiting threads sleep soon, so that programs that share the cores do not
    # halt each other (5 to 8 times faster then)
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    run(app, "sem-train")


if __name__ == "__main__":
    main()
