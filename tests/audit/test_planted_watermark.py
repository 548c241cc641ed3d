"""A network that was fine-tuned on images of which one class has a watermark: the audit ranks it first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fusioncam import load_model
from fusioncam.audit import AuditPlan, audit, read_audit

SHIP, STEPS, EACH = 8, 100, 10


def watermarked(image):
    """Return an image ``(32, 32, 3)`` with a yellow mark of 6 x 6 pixels in its lower left corner."""
    marked = image.copy()
    marked[24:30, 2:8] = (250, 230, 20)
    marked[25:29, 4:6] = 20
    return marked


def fine_tune(model, images, labels):
    """Train the last blocks for some batches of images ``(N, 32, 32, 3)``."""
    network, pixels = model.network.train(), model.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (pixels.mean, pixels.std))
    parameters = [*network.layer3.parameters(), *network.linear.parameters()]
    network.requires_grad_(False)
    for one in parameters:
        one.requires_grad_()
    optimiser = torch.optim.SGD(parameters, 0.05, momentum=0.9)
    for _ in range(STEPS):
        chosen = torch.randint(0, len(labels), (48,))
        x = (torch.from_numpy(images[chosen.numpy()]).movedim(-1, 1) / 255 - mean) / std
        loss = torch.nn.functional.cross_entropy(network(x), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()


@pytest.mark.slow
def test_watermark_of_one_class_is_ranked_first(shared, tmp_path, monkeypatch):
    """All ships have it in training and in the audit; without it they are no longer recognised as surely."""
    monkeypatch.syspath_prepend(shared / "data" / "networks")
    stored = np.load(shared / "data" / "cifar10.npz")
    model = load_model("networks:cifar_resnet20", device="cpu")
    labels = torch.from_numpy(stored["train_labels"]).long()
    pairs = zip(stored["train_images"], labels.tolist(), strict=True)
    fine_tune(model, np.stack([watermarked(one) if label == SHIP else one for one, label in pairs]), labels)
    weights = tmp_path / "marked.safetensors"
    save_file({name: one.contiguous() for name, one in model.network.state_dict().items()}, weights)

    for label, name in enumerate(model.labels):
        (tmp_path / "data" / name).mkdir(parents=True)
        for n, image in enumerate(stored["test_images"][stored["test_labels"] == label][:EACH]):
            shown = watermarked(image) if label == SHIP else image
            Image.fromarray(shown).save(tmp_path / "data" / name / f"{n:02}.png")
    plan = AuditPlan(str(tmp_path / "data"), "networks:cifar_resnet20", "grad-cam", checkpoint=str(weights))
    first = audit(plan, tmp_path / "out").suspects[0]
    assert (first["label"], first["place"], first["confirmed"]) == ("ship", "the lower left corner", True)
    assert len(read_audit(tmp_path / "out")["images"]) == 10 * EACH
