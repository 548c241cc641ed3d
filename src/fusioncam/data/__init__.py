"""Images, preprocessing, class labels, ground truth and data sets."""
