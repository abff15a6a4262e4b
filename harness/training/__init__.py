"""One cell's training: the objective, its gradient, the loop."""
