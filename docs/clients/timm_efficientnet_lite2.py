"""EfficientNet-Lite2 of timm, with its weights"""

from PIL import Image
from skimage import data

import fusioncam as fc

network = fc.load_model("efficientnet_lite2").network
preprocessing = fc.Preprocessing.of(network.pretrained_cfg)
x = preprocessing(Image.fromarray(data.chelsea()))[None]

# explain it
model = fc.ExplainedModel(network, preprocessing=preprocessing)
heatmaps = fc.METHODS["grad-cam"](model, x, target=None)  # the predicted class
