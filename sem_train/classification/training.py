"""`fit` of a classifier: a run is started, continued or found finished."""

from sem_train.classification.config import ClassifyConfig
from sem_train.classification.drawing import ParticleBatches
from sem_train.classification.gathering import gather_particles
from sem_train.classification.module import MACRO_F1, ParticleClassifier
from sem_train.hardware import deterministic_algorithms, flush_denormals, refuse_bad_precision, training_device
from sem_train.run_folder import RunFolder
from sem_train.training import FitResult, result_of, run_module, steps_done
from semforge.errors import InputError


def fit_classifier(config: ClassifyConfig) -> FitResult:
    """Train the classifier that `config` describes into its folder `out`, or go on with its unfinished run there.

    At the end temperatures and thresholds are worked out on what was held out, and kept in `last.ckpt`. Raises
    InputError before the first step if data, settings or folder cannot be used, and KeyboardInterrupt after Ctrl-C,
    SIGTERM or SIGUSR2, with a checkpoint to go on from.
    """
    folder, training = RunFolder(config.out), config.training
    state = folder.state(config)
    if state == "finished":
        return result_of(folder, score=MACRO_F1)
    resumed_at = steps_done(folder) if state == "unfinished" else None
    with deterministic_algorithms(training.deterministic):
        flush_denormals()
        refuse_bad_precision(training.precision, training_device(training.accelerator, 1))
        gathered = gather_particles(config)
        if training.patience and not len(gathered.held_out):
            raise InputError(f"training.patience is {training.patience}, but nothing is held out to score; "
                             "hold out data, or leave it out")  # fmt: skip
        module = ParticleClassifier(config, gathered, begins=resumed_at is None)
        folder.claim(config)
        data = ParticleBatches(config, gathered.training, gathered.held_out)
        return run_module(
            config.name, training, folder, module, data, len(gathered.held_out) > 0, resumed_at, score=MACRO_F1,
            finish=module.calibrate,
        )  # fmt: skip
