"""Load image classifiers of Hugging Face's transformers from local files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from fusioncam.data.labels import labels_of_config
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import SettingError, WeightsError
from fusioncam.utils.optional import extra
from fusioncam.zoo.checkpoints import first_line

_FILES = "config.json, model.safetensors and preprocessor_config.json"


def load_hugging_face(
    name: str, num_classes: int | None, *, pretrained: bool
) -> tuple[nn.Module, Preprocessing, tuple[str, ...] | None]:
    """Return a classifier with its preprocessing and its class names.

    ``name`` is a folder, or a repository that the hub's cache on this machine holds. Nothing is downloaded, and
    weights must be safetensors, because other files could execute code.

    Raises :class:`WeightsError` if a file is missing, or for another kind of network.
    """
    transformers = extra("hf", "transformers", "networks of Hugging Face (hf:NAME)")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    head = {} if num_classes is None else {"num_labels": num_classes}
    try:
        with _without_output(transformers):
            config = transformers.AutoConfig.from_pretrained(name, **local, **head)
            kind = transformers.AutoModelForImageClassification
            if pretrained:
                network = kind.from_pretrained(name, config=config, use_safetensors=True, **local)
            else:
                network = kind.from_config(config)
            preprocessing = Preprocessing.of(transformers.AutoImageProcessor.from_pretrained(name, **local))
    except SettingError as error:
        raise WeightsError(f"hf:{name}: {error}, in an ExplainedModel") from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"hf:{name} is no image classifier on this machine: {first_line(error).rstrip('.')}. Give a folder with "
            f"{_FILES}, or download the repository first: hf download {name}"
        ) from error
    return network.eval(), preprocessing, labels_of_config(network)


@contextmanager
def _without_output(transformers: Any) -> Iterator[None]:
    """Hide the library's progress bars and messages."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
