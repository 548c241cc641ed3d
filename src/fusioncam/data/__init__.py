"""Images, preprocessing, labels, ground truth and data sets."""
