"""Text becomes token rows; which rows train and which are held out."""
