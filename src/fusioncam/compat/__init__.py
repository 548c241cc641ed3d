"""Our methods behind the interfaces of other libraries: pytorch-grad-cam, torch-cam, captum and Quantus."""
